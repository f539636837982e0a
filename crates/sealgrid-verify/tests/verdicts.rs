//! Genuine receipts are accepted; each receipt that is wrong in one way is rejected by the rule that is for it.

mod common;

use common::*;
use sealgrid_protocol::claims::{EvidenceKind, Fault, FaultKind, LogState};
use sealgrid_protocol::directory::{Region, SignedDirectory};
use sealgrid_protocol::job::header::{OnDispute, RefereeRule};
use sealgrid_protocol::job::statement::Signed;
use sealgrid_protocol::log::TreeHash;
use sealgrid_protocol::names::{Environment, Protection, Verification};
use sealgrid_protocol::policy::{self, Policy, Referee};
use sealgrid_protocol::receipt::{Opening, ReceiptFile, Status};
use sealgrid_seal::secret::Secret;
use sealgrid_verify::{Disclosure, Verdict, verify};

fn judge(file: &ReceiptFile) -> Verdict {
    verify(&file.encode(), &roots(), NOW, None, None)
}

#[track_caller]
fn accepted(verdict: &Verdict) {
    assert!(verdict.is_accepted(), "{}", verdict.text());
    assert_eq!((verdict.exit_status(), verdict.code()), (0, None));
}

/// Rejected, and by `rule` first.
#[track_caller]
fn rejected(verdict: &Verdict, rule: &str, code: &str) {
    assert!(!verdict.is_accepted(), "{rule}: {}", verdict.text());
    assert_eq!(verdict.failures().next().map(|finding| finding.id), Some(rule), "{}", verdict.text());
    assert_eq!((verdict.exit_status(), verdict.code()), (4, Some(code)), "{}", verdict.text());
}

#[test]
fn genuine_receipts_of_every_kind_are_accepted() {
    for fixture in [Fixture::disputed(), Fixture::unanimous(), Fixture::signed()] {
        accepted(&judge(&fixture.file()));
        let opening = fixture.opening();
        let (inputs, outputs) = ([batch(3)], [batch(7)]);
        let disclosure = Disclosure { opening: &opening, inputs: Some(&inputs), outputs: Some(&outputs) };
        let verdict = verify(&fixture.file().encode(), &roots(), NOW, Some(&disclosure), None);
        accepted(&verdict);
        let holds =
            |id| verdict.findings().any(|finding| finding.id == id && finding.status == Status::Holds);
        assert!(holds("RCP-71") && holds("RCP-72"));
    }
}

#[test]
fn a_verdict_names_the_liar_and_says_what_it_rests_on() {
    let text = judge(&Fixture::disputed().file()).text();
    insta::assert_snapshot!(text, @r#"
    ACCEPTED

    job           j1:6160997f3b5141fd278150a3a2b9fa3852f1e9092ab95dcf1d9d51766a45308d
    model         mc1:1111111111111111111111111111111111111111111111111111111111111111
    records       4
    input         e314c251d0a88535656b13254e3dfb7f50db86f367e926facaceae79052dab92 (keyed commitment)
    output        c7775464dd6d46f591847be99608d077bb4f777628a5a4796ac3fa4a82b35715 (keyed commitment)
    protection    sealed
    verification  quorum:3
    issuer        8139770e (software, NOT HARDWARE)
    committee     6e7a1cdd, 8139770e, ca93ac17
    fault         node 6e7a1cdd lied at operation 1
    requested     2025-06-15T15:06:40.000Z
    finished      2025-06-15T15:06:40.700Z (700 ms)

    receipt
      holds       RCP-01  the file is whole and in its one spelling
      holds       RCP-04  signed by node 8139770e, which cannot deny it
      holds       RCP-08  protection and verification used are what was asked, or more
      holds       RCP-13  the evidence is the evidence that the claims name
      holds       RCP-14  the job was finished before the moment of this verdict

    directory
      holds       RCP-15  grid test grid, signed by the trusted authority, in force when the client asked
      holds       RCP-16  the grid's log is the trusted log
      holds       RCP-17  every party is a listed node that serves the model
      holds       RCP-18  the issuer runs in: software, NOT HARDWARE
      assumed     RCP-19  the authority lists each operator under one name; regions and operators are what operators said

    policy
      holds       RCP-20  the owner asked for at least sealed and quorum:3
      holds       RCP-21  records and time stay within the policy's limits
      holds       RCP-22  every party keeps the policy's demands on nodes

    draw
      holds       RCP-40  the job's identifier is that of its header, and the claims repeat it
      holds       RCP-30  the draw used a log state that 2 trusted witnesses cosigned
      holds       RCP-32  the committee is the one that the lot falls on
      holds       RCP-33  the reserves are the next in the draw
      holds       RCP-41  disputes were to be settled as the policy demands

    votes
      holds       RCP-50  2 of 3 places opened what they had committed to and agree on the output to the bit
      holds       RCP-52  node 6e7a1cdd lied at operation 1
      assumed     RCP-53  the client, as referee, ran the disputed operation rightly
      assumed     RCP-54  at least 2 of the 3 members are honest
      assumed     RCP-55  that opened branches and the referee's operands hash to their parents: hashes are keyed, and the key was not given

    log
      holds       RCP-60  the log holds this receipt at 5 of 7
      holds       RCP-61  it was appended after the state that the draw used
      holds       RCP-62  2 trusted witnesses cosigned, last at 2025-06-15T15:06:41.000Z; the policy demands 1

    limits of this receipt
      not shown   RCP-82  that nodes kept no copy of what they saw
      not hidden  RCP-90  records and results, from the operators of the committee's nodes
      not hidden  RCP-90  the model's commitment, the number of records, times and sizes, from whoever has this file
    "#);
}

#[test]
fn a_verdict_has_a_stable_json_form() {
    let json = judge(&Fixture::signed().file()).json();
    assert_eq!(json["accepted"], true);
    assert_eq!(json["exit"], 0);
    assert_eq!(json["claims"]["environment"]["label"], "software, NOT HARDWARE");
    insta::assert_snapshot!(serde_json::to_string_pretty(&json["branches"]).expect("plain values"), @r#"
    [
      {
        "about": "receipt",
        "findings": [
          {
            "code": null,
            "id": "RCP-01",
            "status": "holds",
            "text": "the file is whole and in its one spelling"
          },
          {
            "code": null,
            "id": "RCP-04",
            "status": "holds",
            "text": "signed by node 6e7a1cdd, which cannot deny it"
          },
          {
            "code": null,
            "id": "RCP-08",
            "status": "holds",
            "text": "protection and verification used are what was asked, or more"
          },
          {
            "code": null,
            "id": "RCP-13",
            "status": "holds",
            "text": "the evidence is the evidence that the claims name"
          },
          {
            "code": null,
            "id": "RCP-14",
            "status": "holds",
            "text": "the job was finished before the moment of this verdict"
          }
        ]
      },
      {
        "about": "directory",
        "findings": [
          {
            "code": null,
            "id": "RCP-15",
            "status": "holds",
            "text": "grid test grid, signed by the trusted authority, in force when the client asked"
          },
          {
            "code": null,
            "id": "RCP-16",
            "status": "holds",
            "text": "the grid's log is the trusted log"
          },
          {
            "code": null,
            "id": "RCP-17",
            "status": "holds",
            "text": "every party is a listed node that serves the model"
          },
          {
            "code": null,
            "id": "RCP-18",
            "status": "holds",
            "text": "the issuer runs in: software, NOT HARDWARE"
          },
          {
            "code": null,
            "id": "RCP-19",
            "status": "assumed",
            "text": "the authority lists each operator under one name; regions and operators are what operators said"
          }
        ]
      },
      {
        "about": "policy",
        "findings": [
          {
            "code": null,
            "id": "RCP-20",
            "status": "holds",
            "text": "the owner asked for at least sealed and signed"
          },
          {
            "code": null,
            "id": "RCP-21",
            "status": "holds",
            "text": "records and time stay within the policy's limits"
          },
          {
            "code": null,
            "id": "RCP-22",
            "status": "holds",
            "text": "every party keeps the policy's demands on nodes"
          }
        ]
      },
      {
        "about": "draw",
        "findings": [
          {
            "code": null,
            "id": "RCP-40",
            "status": "holds",
            "text": "the job's identifier is that of its header, and the claims repeat it"
          },
          {
            "code": null,
            "id": "RCP-30",
            "status": "holds",
            "text": "the draw used a log state that 2 trusted witnesses cosigned"
          },
          {
            "code": null,
            "id": "RCP-32",
            "status": "holds",
            "text": "the committee is the one that the lot falls on"
          },
          {
            "code": null,
            "id": "RCP-33",
            "status": "holds",
            "text": "the reserves are the next in the draw"
          }
        ]
      },
      {
        "about": "votes",
        "findings": [
          {
            "code": null,
            "id": "RCP-50",
            "status": "not shown",
            "text": "that the result is right: one node computed it alone"
          }
        ]
      },
      {
        "about": "log",
        "findings": [
          {
            "code": null,
            "id": "RCP-60",
            "status": "holds",
            "text": "the log holds this receipt at 5 of 7"
          },
          {
            "code": null,
            "id": "RCP-61",
            "status": "holds",
            "text": "it was appended after the state that the draw used"
          },
          {
            "code": null,
            "id": "RCP-62",
            "status": "holds",
            "text": "2 trusted witnesses cosigned, last at 2025-06-15T15:06:41.000Z; the policy demands 1"
          }
        ]
      },
      {
        "about": "limits of this receipt",
        "findings": [
          {
            "code": null,
            "id": "RCP-82",
            "status": "not shown",
            "text": "that nodes kept no copy of what they saw"
          },
          {
            "code": null,
            "id": "RCP-90",
            "status": "not hidden",
            "text": "records and results, from the operators of the committee's nodes"
          },
          {
            "code": null,
            "id": "RCP-90",
            "status": "not hidden",
            "text": "the model's commitment, the number of records, times and sizes, from whoever has this file"
          }
        ]
      }
    ]
    "#);
    let rejected = verify(b"no receipt", &roots(), NOW, None, None).json();
    insta::assert_snapshot!(serde_json::to_string(&rejected).expect("plain values"), @r#"{"accepted":false,"branches":[{"about":"receipt","findings":[{"code":"E-VER-01","id":"RCP-01","status":"fails","text":"the file is neither a receipt, a proof nor a registered model"}]}],"claims":null,"code":"E-VER-01","exit":4,"version":1}"#);
}

#[test]
fn a_receipt_that_is_no_receipt_is_rejected() {
    rejected(&verify(b"", &roots(), NOW, None, None), "RCP-01", "E-VER-01");
    let mut file = Fixture::signed().file();
    file.receipt = sealgrid_protocol::claims::SignedClaims::from_bytes(b"no receipt".to_vec());
    rejected(&judge(&file), "RCP-02", "E-VER-02");
    let mut bytes = Fixture::signed().file().receipt.as_bytes().to_vec();
    *bytes.last_mut().expect("a signature") ^= 1;
    file.receipt = sealgrid_protocol::claims::SignedClaims::from_bytes(bytes);
    rejected(&judge(&file), "RCP-04", "E-VER-02");
}

#[test]
fn a_receipt_from_the_future_is_rejected() {
    let file = Fixture::signed().file().encode();
    rejected(&verify(&file, &roots(), REQUESTED + 699, None, None), "RCP-14", "E-VER-05");
    accepted(&verify(&file, &roots(), REQUESTED + 700, None, None));
}

#[test]
fn evidence_of_another_receipt_is_rejected() {
    let mut file = Fixture::disputed().file();
    let votes = file.evidence.iter_mut().find(|evidence| evidence.kind == EvidenceKind::Votes);
    votes.expect("a quorum").bytes.push(0);
    rejected(&judge(&file), "RCP-13", "E-VER-04");
}

/// Alters a genuine disputed job before its parties sign, and judges it.
#[track_caller]
fn altered(rule: &str, code: &str, alter: impl FnOnce(&mut Fixture)) {
    let mut fixture = Fixture::disputed();
    alter(&mut fixture);
    rejected(&judge(&fixture.file()), rule, code);
}

#[test]
fn a_directory_that_does_not_hold_is_rejected() {
    let resign = |fixture: &mut Fixture, alter: fn(&mut sealgrid_protocol::directory::Directory)| {
        let mut draft = directory();
        alter(&mut draft);
        fixture.signed_directory = draft.sign(&authority()).expect("a good draft");
    };
    altered("RCP-15", "E-VER-14", |f| resign(f, |d| d.issued += 1));
    altered("RCP-15", "E-VER-14", |f| resign(f, |d| d.expires = REQUESTED));
    altered("RCP-15", "E-VER-14", |f| {
        let mut draft = directory();
        draft.authority = signer(1).public();
        f.signed_directory = draft.sign(&signer(1)).expect("a good draft");
    });
    let mut fixture = Fixture::disputed();
    let unreadable = SignedDirectory::decode(&[0]).expect_err("no directory");
    assert_eq!(unreadable.code(), "E-VER-10");
    let mut evidence = fixture.evidence();
    evidence.remove(0);
    rejected(&judge(&fixture.file_with(evidence)), "RCP-15", "E-VER-14");
    // The trusted log is another one: the directory's own digest still matches.
    let mut other = directory();
    other.log.key = signer(99).public();
    let roots = sealgrid_verify::TrustRoots::danger_from_directory(&other, 2).expect("sound roots");
    rejected(&verify(&fixture.file().encode(), &roots, NOW, None, None), "RCP-16", "E-VER-14");
    fixture.claims.reserves_used = vec![signer(50).public()];
    rejected(&judge(&fixture.file()), "RCP-17", "E-VER-14");
    altered("RCP-18", "E-VER-14", |f| f.claims.environment = Environment::IntelTdx);
}

#[test]
fn a_policy_that_was_not_kept_is_rejected() {
    altered("RCP-20", "E-VER-15", |f| f.policy.limits.deadline_ms += 1);
    let fixture = Fixture::disputed();
    let mut evidence = fixture.evidence();
    evidence.retain(|evidence| evidence.kind != EvidenceKind::Policy);
    rejected(&judge(&fixture.file_with(evidence)), "RCP-20", "E-VER-15");
    // The policy is the one named, but the job did not keep it.
    let not_kept = |rule, alter: fn(&mut Policy), ask: fn(&mut Fixture)| {
        let mut fixture = Fixture::disputed();
        alter(&mut fixture.policy);
        fixture.claims.policy = fixture.policy.digest();
        ask(&mut fixture);
        rejected(&judge(&fixture.file()), rule, "E-VER-15");
    };
    not_kept("RCP-20", |p| p.verification = Verification::Quorum { members: 5 }, |_| {});
    not_kept("RCP-20", |p| p.protection = Protection::Attested, |_| {});
    not_kept("RCP-21", |p| p.limits.records_max = 3, |_| {});
    not_kept("RCP-21", |p| p.limits.deadline_ms = 699, |_| {});
    not_kept("RCP-22", |p| p.nodes.regions_denied = vec![Region::new("EU").expect("a region")], |_| {});
    not_kept("RCP-22", |p| p.nodes.hardware_required = true, |_| {});
}

#[test]
fn a_claim_of_hardware_never_satisfies_a_policy() {
    let claimed = Fixture::build_in(Environment::IntelTdx, &Policy::default(), false);
    let verdict = judge(&claimed.file());
    accepted(&verdict);
    assert!(verdict.findings().any(|finding| finding.id == "RCP-18" && finding.status == Status::NotShown));
    let mut policy = Policy::default();
    policy.nodes.hardware_required = true;
    let demanded = Fixture::build_in(Environment::IntelTdx, &policy, false);
    rejected(&judge(&demanded.file()), "RCP-23", "E-VER-15");
}

#[test]
fn a_committee_on_which_the_lot_did_not_fall_is_rejected() {
    // The whole job is run again, honestly signed, by a committee that the client picked.
    let mut fixture = Fixture::unanimous();
    fixture.header.committee.reverse();
    fixture.votes = Some(votes(&fixture.header, None));
    fixture.claims.committee.clone_from(&fixture.header.committee);
    fixture.claims.issuer = fixture.header.committee[0];
    fixture.claims.job = fixture.header.id();
    rejected(&judge(&fixture.file()), "RCP-32", "E-VER-16");

    let mut fixture = Fixture::unanimous();
    fixture.header.reserves.reverse();
    fixture.votes = Some(votes(&fixture.header, None));
    fixture.claims.job = fixture.header.id();
    rejected(&judge(&fixture.file()), "RCP-33", "E-VER-16");
}

#[test]
fn a_draw_from_a_log_state_that_was_never_witnessed_is_rejected() {
    altered("RCP-30", "E-VER-16", |f| f.checkpoint = Some(checkpoint(&f.log_leaves[..4], REQUESTED)));
    altered("RCP-30", "E-VER-16", |f| {
        let state = sealgrid_protocol::log::Checkpoint {
            origin: ORIGIN.to_owned(),
            size: f.claims.log.size,
            root: TreeHash(f.claims.log.root),
        };
        f.checkpoint = Some(state.sign(&log_key()).expect("a key name")); // No witness.
    });
    let mut fixture = Fixture::disputed();
    fixture.checkpoint = None;
    let verdict = judge(&fixture.file());
    accepted(&verdict);
    assert!(verdict.findings().any(|finding| finding.id == "RCP-30" && finding.status == Status::Assumed));
}

#[test]
fn a_header_that_says_otherwise_is_rejected() {
    altered("RCP-40", "E-VER-17", |f| f.header.deadline += 1);
    altered("RCP-40", "E-VER-17", |f| f.claims.nonce = [0; 32]);
    altered("RCP-40", "E-VER-17", |f| f.claims.log = LogState { size: 4, ..f.claims.log });
    let fixture = Fixture::disputed();
    let mut evidence = fixture.evidence();
    evidence.retain(|evidence| evidence.kind != EvidenceKind::Header);
    rejected(&judge(&fixture.file_with(evidence)), "RCP-40", "E-VER-17");
    let stricter = Policy { referee: Referee::Reserve, ..Policy::default() };
    rejected(&judge(&Fixture::build(&stricter, true).file()), "RCP-41", "E-VER-17");
    let stricter = Policy { on_dispute: policy::OnDispute::Refuse, ..Policy::default() };
    rejected(&judge(&Fixture::build(&stricter, true).file()), "RCP-41", "E-VER-17");
}

#[test]
fn votes_that_do_not_lead_to_the_claims_are_rejected() {
    let reject = |alter: fn(&mut Fixture)| altered("RCP-50", "E-VER-17", alter);
    reject(|f| f.votes = None);
    reject(|f| f.dispute = None);
    reject(|f| f.claims.output = unrelated().1);
    reject(|f| f.claims.faults[0].kind = FaultKind::Lie { operation: LIE + 1 });
    // An honest member accused of a lie that nothing shows.
    reject(|f| {
        let node = f.claims.committee[2];
        f.claims.faults.push(Fault { node, kind: FaultKind::Lie { operation: LIE } });
    });
    // The lead claims the liar's output; its own vote says otherwise.
    reject(|f| {
        f.votes = Some(votes(&f.header, None));
    });
    // A vote that its party did not sign.
    reject(|f| {
        let votes = f.votes.as_mut().expect("a quorum");
        let forged = votes.commits[2].claimed();
        votes.commits[2] = Signed::sign(&signer(77), *forged);
    });
    // A reveal of something else than was committed to.
    reject(|f| {
        let (header, votes) = (&f.header, f.votes.as_mut().expect("a quorum"));
        let member = header.committee[2];
        let changed = reveal(header, member, true);
        votes.reveals[2] = Signed::sign(&node(&member), changed);
    });
    // A reveal is missing, so a place of the majority is.
    reject(|f| {
        let votes = f.votes.as_mut().expect("a quorum");
        votes.reveals.truncate(2);
    });
    // A finding by somebody who may not judge.
    reject(|f| f.dispute = Some(dispute(&f.header, f.header.committee[0], &signer(1))));
    // A finding about another operation: the search did not end there.
    reject(|f| f.dispute.as_mut().expect("a dispute").duels[0].rounds.truncate(1));
}

#[test]
fn a_policy_that_refuses_disputes_rejects_a_disputed_receipt() {
    let policy = Policy { on_dispute: policy::OnDispute::Refuse, ..Policy::default() };
    let mut fixture = Fixture::build(&policy, true);
    fixture.header.on_dispute = OnDispute::Refuse;
    let liar = fixture.header.committee[0];
    fixture.votes = Some(votes(&fixture.header, Some(liar)));
    fixture.dispute = Some(dispute(&fixture.header, liar, &client()));
    fixture.claims.job = fixture.header.id();
    rejected(&judge(&fixture.file()), "RCP-51", "E-VER-17");
    assert_eq!(fixture.header.referee, RefereeRule::Client);
}

#[test]
fn a_receipt_that_the_log_does_not_hold_is_rejected() {
    let mut file = Fixture::disputed().file();
    let proof = file.log_proof.take();
    rejected(&judge(&file), "RCP-60", "E-VER-18");
    file.log_proof = Fixture::signed().file().log_proof;
    rejected(&judge(&file), "RCP-60", "E-VER-18");
    file.log_proof = Some(b"no proof".to_vec());
    rejected(&judge(&file), "RCP-60", "E-VER-18");
    // Without demand of the policy the absence is said and nothing more.
    let policy = Policy { witnesses_min: 0, ..Policy::default() };
    let mut file = Fixture::build(&policy, true).file();
    file.log_proof = None;
    let verdict = judge(&file);
    accepted(&verdict);
    assert!(verdict.findings().any(|finding| finding.id == "RCP-60" && finding.status == Status::NotShown));
    drop(proof);
}

#[test]
fn a_receipt_logged_before_its_draw_or_under_too_few_witnesses_is_rejected() {
    // The draw names a state of seven leaves; the log proof puts the receipt at index 5.
    let mut fixture = Fixture::disputed();
    fixture.log_leaves.truncate(2);
    rejected(&judge(&fixture.file()), "RCP-61", "E-VER-18");
    let policy = Policy { witnesses_min: 3, ..Policy::default() };
    rejected(&judge(&Fixture::build(&policy, true).file()), "RCP-62", "E-VER-18");
}

#[test]
fn an_opening_that_does_not_open_is_rejected() {
    let fixture = Fixture::disputed();
    let bytes = fixture.file().encode();
    let opening = fixture.opening();
    let reject = |rule, code, opening: &Opening, inputs: Option<i8>, outputs: Option<i8>| {
        let (inputs, outputs) = (inputs.map(|seed| [batch(seed)]), outputs.map(|seed| [batch(seed)]));
        let disclosure = Disclosure {
            opening,
            inputs: inputs.as_ref().map(<[_; 1]>::as_slice),
            outputs: outputs.as_ref().map(<[_; 1]>::as_slice),
        };
        rejected(&verify(&bytes, &roots(), NOW, Some(&disclosure), None), rule, code);
    };
    reject("RCP-70", "E-VER-09", &Opening { job: unrelated().0, key: job_key() }, Some(3), None);
    reject("RCP-71", "E-VER-09", &opening, Some(4), None);
    reject("RCP-72", "E-VER-09", &opening, None, Some(8));
    // With another key the branches do not hash to their parents either.
    reject("RCP-50", "E-VER-17", &Opening { job: opening.job, key: Secret::new([1; 32]) }, Some(3), None);
    let nothing = Disclosure { opening: &opening, inputs: None, outputs: None };
    let verdict = verify(&bytes, &roots(), NOW, Some(&nothing), None);
    accepted(&verdict);
    assert!(verdict.findings().any(|finding| finding.id == "RCP-73" && finding.status == Status::NotShown));
    assert!(
        !verdict.findings().any(|finding| finding.id == "RCP-55"),
        "with the key nothing about hashes is assumed"
    );
}

#[test]
fn what_this_version_cannot_verify_is_rejected_and_never_assumed() {
    let mut fixture = Fixture::signed();
    fixture.claims.protection_used = Protection::Encrypted;
    fixture.header.protection = Protection::Encrypted;
    fixture.claims.job = fixture.header.id();
    rejected(&judge(&fixture.file()), "RCP-83", "E-VER-09");
    let mut fixture = Fixture::signed();
    fixture.claims.verification_used = Verification::Proof;
    assert!(!judge(&fixture.file()).is_accepted());
    let fixture = Fixture::signed();
    let mut evidence = fixture.evidence();
    evidence.push(sealgrid_protocol::receipt::Evidence { kind: EvidenceKind::Proof, bytes: vec![1] });
    let verdict = judge(&fixture.file_with(evidence));
    accepted(&verdict);
    assert!(verdict.findings().any(|finding| finding.id == "RCP-80" && finding.status == Status::NotShown));
}

#[test]
fn unproven_faults_are_the_clients_word() {
    let mut fixture = Fixture::unanimous();
    let replaced = fixture.header.committee[2];
    let reserve = fixture.header.reserves[0];
    let votes = fixture.votes.as_mut().expect("a quorum");
    let instead = reveal(&fixture.header, reserve, false);
    votes.commits[2] = commit(&instead);
    votes.reveals[2] = Signed::sign(&node(&reserve), instead);
    fixture.claims.reserves_used = vec![reserve];
    fixture.claims.faults = vec![Fault { node: replaced, kind: FaultKind::Unreachable }];
    let verdict = judge(&fixture.file());
    accepted(&verdict);
    let word = verdict.findings().find(|finding| finding.id == "RCP-81").expect("an unproven fault");
    assert_eq!(word.status, Status::NotShown);
    assert!(word.text.contains("could not be reached: the client says so"));
}
