//! A genuine receipt made with real keys: a grid of six nodes, a log with two witnesses, a quorum of three of which one
//! lies at operation 1, a bisection, a finding, a signed receipt, a log proof. Every part can be altered before it is
//! signed, so that a test can be wrong in exactly one way.

#![allow(dead_code, reason = "each test file uses its own part")]

use sealgrid_graph::execute::Batch;
use sealgrid_graph::tensor::{Data, Shape};
use sealgrid_graph::trace::{self, Bisection, Progress, TraceTree};
use sealgrid_protocol::claims::{self, Claims, EvidenceKind, Fault, FaultKind, LogState};
use sealgrid_protocol::directory::{
    self, Directory, LogEntry, NodeEntry, NodeLimits, Region, SignedDirectory, WitnessEntry,
};
use sealgrid_protocol::draw::{Draw, DrawFacts};
use sealgrid_protocol::job::evidence::{Dispute, Duel, End, Round, Votes};
use sealgrid_protocol::job::header::{
    self, JobHeader, RefereeRule, TraceShape, commit_inputs, commit_outputs,
};
use sealgrid_protocol::job::message::OperandLeaf;
use sealgrid_protocol::job::statement::{Branches, Commit, Finding, OutputLeaf, Reveal, Signed, vote_digest};
use sealgrid_protocol::log::{Checkpoint, LogProof, TreeHash, note::Note, tree};
use sealgrid_protocol::machine::Millis;
use sealgrid_protocol::names::{Environment, JobId, ModelCommitment, Protection, Verification};
use sealgrid_protocol::policy::Policy;
use sealgrid_protocol::receipt::{Evidence, Opening, ReceiptFile};
use sealgrid_protocol::text::Text;
use sealgrid_seal::digest::{Commitment, CommitmentKey, Digest};
use sealgrid_seal::envelope::JobKeyPair;
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::secret::Secret;
use sealgrid_verify::TrustRoots;

pub const REQUESTED: Millis = 1_750_000_000_000;
pub const NOW: Millis = REQUESTED + 3_600_000;
pub const ORIGIN: &str = "sealgrid.test/log";
pub const MODEL: ModelCommitment = ModelCommitment(Digest([0x11; 32]));
pub const RECORDS: usize = 4;
/// Operation at which the liar's trace departs.
pub const LIE: u32 = 1;

pub fn signer(byte: u8) -> SigningIdentity {
    SigningIdentity::from_seed(&Secret::new([byte; 32]))
}

pub fn authority() -> SigningIdentity {
    signer(100)
}

pub fn log_key() -> SigningIdentity {
    signer(101)
}

pub fn witness(index: u8) -> SigningIdentity {
    signer(110 + index)
}

pub fn client() -> SigningIdentity {
    signer(120)
}

/// The signer behind a node's public identity.
pub fn node(identity: &PublicIdentity) -> SigningIdentity {
    (1..=6).map(signer).find(|signer| signer.public() == *identity).expect("one of the six")
}

pub fn job_key() -> CommitmentKey {
    Secret::new([0x55; 32])
}

pub fn directory() -> Directory {
    directory_in(Environment::Software)
}

pub fn directory_in(environment: Environment) -> Directory {
    directory_of(environment, MODEL)
}

pub fn directory_of(environment: Environment, model: ModelCommitment) -> Directory {
    let text = |text: &str| Text::new(text).expect("printable");
    let node = |byte: u8| NodeEntry {
        identity: signer(byte).public(),
        job_key: JobKeyPair::from_seed(Secret::new([byte; 32])).public().clone(),
        addresses: vec![Text::new(&format!("127.0.0.1:400{byte}")).expect("printable")],
        operator: text(&format!("operator {byte}")),
        region: Region::new("EU-DE").expect("a region"),
        environment,
        models: vec![model],
        limits: NodeLimits { records_max: 1000, payload_bytes_max: 1 << 20, jobs_max: 8 },
    };
    Directory {
        version: directory::VERSION,
        grid: text("test grid"),
        authority: authority().public(),
        issued: REQUESTED - 1_000,
        expires: REQUESTED + 86_400_000,
        log: LogEntry { origin: Text::new(ORIGIN).expect("printable"), key: log_key().public() },
        witnesses: (0..2)
            .map(|index| WitnessEntry { name: text(&format!("w{index}.test")), key: witness(index).public() })
            .collect(),
        nodes: (1..=6).map(node).collect(),
    }
}

pub fn roots() -> TrustRoots {
    TrustRoots::danger_from_directory(&directory(), 2).expect("sound roots")
}

/// A checkpoint over `leaves`, signed by the log and cosigned by both witnesses.
pub fn checkpoint(leaves: &[TreeHash], at: Millis) -> Note {
    let size = leaves.len() as u64;
    let root = tree::root(leaves, size).expect("leaves in memory");
    let mut note = Checkpoint { origin: ORIGIN.to_owned(), size, root }.sign(&log_key()).expect("a key name");
    for index in 0..2 {
        let cosignature = note.cosign(&format!("w{index}.test"), &witness(index), at / 1_000);
        note.add(cosignature.expect("a key name"));
    }
    note
}

pub fn batch(seed: i8) -> Batch {
    let shape = Shape::new(&[1, 3]).expect("small");
    let data = (0..12).map(|i: i8| i.wrapping_mul(seed)).collect();
    Batch::new(RECORDS, shape, Data::I8(data)).expect("twelve elements")
}

/// Everything of a job before it is signed and bundled.
pub struct Fixture {
    pub policy: Policy,
    pub signed_directory: SignedDirectory,
    pub header: JobHeader,
    pub draw: Draw,
    pub votes: Option<Votes>,
    pub dispute: Option<Dispute>,
    pub checkpoint: Option<Note>,
    pub log_leaves: Vec<TreeHash>,
    pub claims: Claims,
}

impl Fixture {
    /// A quorum of three in which the first drawn member lies.
    pub fn disputed() -> Self {
        Self::build(&Policy::default(), true)
    }

    /// A quorum of three that agrees.
    pub fn unanimous() -> Self {
        Self::build(&Policy::default(), false)
    }

    /// One signer.
    pub fn signed() -> Self {
        let policy = Policy { verification: Verification::Signed, ..Policy::default() };
        Self::build(&policy, false)
    }

    pub fn build(policy: &Policy, lie: bool) -> Self {
        Self::build_in(Environment::Software, policy, lie)
    }

    pub fn build_in(environment: Environment, policy: &Policy, lie: bool) -> Self {
        let input = commit_inputs(&job_key(), &[batch(3)]);
        Self::build_of(environment, policy, lie, (MODEL, input))
    }

    pub fn build_of(
        environment: Environment,
        policy: &Policy,
        lie: bool,
        (model, input): (ModelCommitment, Commitment),
    ) -> Self {
        let signed_directory = directory_of(environment, model).sign(&authority()).expect("a good draft");
        let verified = signed_directory.verify(&authority().public(), REQUESTED).expect("in force");
        let log_leaves: Vec<_> = (0..5u8).map(|leaf| TreeHash::leaf(&[leaf])).collect();
        let log = LogState { size: 5, root: tree::root(&log_leaves[..], 5).expect("in memory").0 };
        let facts = DrawFacts {
            nonce: [0x22; 32],
            directory: verified.digest(),
            checkpoint_root: log.root,
            model,
            input,
        };
        let members = usize::from(policy.verification.members());
        let draw = verified.draw(&facts, &policy.nodes, RECORDS as u32, members).expect("six nodes");
        let header = JobHeader {
            version: header::VERSION,
            nonce: facts.nonce,
            client: client().public(),
            model,
            shape: TraceShape { inputs: 1, operations: 3, outputs: vec![3] },
            input,
            records: RECORDS as u32,
            policy: policy.digest(),
            protection_asked: Protection::Sealed,
            protection: Protection::Sealed,
            verification_asked: policy.verification,
            verification: policy.verification,
            committee: draw.committee.clone(),
            reserves: draw.reserves[..2].to_vec(),
            directory: facts.directory,
            log,
            requested: REQUESTED,
            deadline: REQUESTED + 30_000,
            referee: RefereeRule::Client,
            on_dispute: header::OnDispute::Resolve,
        };
        let liar = lie.then(|| draw.committee[0]);
        let quorum = members > 1;
        let output = commit_outputs(&job_key(), &header.shape, &[batch(7)]).expect("one output");
        let claims = Claims {
            version: claims::VERSION,
            job: header.id(),
            nonce: header.nonce,
            model,
            input,
            output,
            records: header.records,
            policy: header.policy,
            protection_asked: header.protection_asked,
            protection_used: header.protection,
            verification_asked: header.verification_asked,
            verification_used: header.verification,
            committee: header.committee.clone(),
            reserves_used: Vec::new(),
            faults: liar
                .iter()
                .map(|&node| Fault { node, kind: FaultKind::Lie { operation: LIE } })
                .collect(),
            evidence: Vec::new(),
            issuer: if lie { draw.committee[1] } else { draw.committee[0] },
            environment,
            requested: REQUESTED,
            finished: REQUESTED + 700,
            directory: header.directory,
            log,
        };
        Self {
            policy: policy.clone(),
            votes: quorum.then(|| votes(&header, liar)),
            dispute: liar.map(|liar| dispute(&header, liar, &client())),
            checkpoint: Some(checkpoint(&log_leaves, REQUESTED - 500)),
            signed_directory,
            header,
            draw,
            log_leaves,
            claims,
        }
    }

    pub fn evidence(&self) -> Vec<Evidence> {
        let mut evidence = vec![
            Evidence { kind: EvidenceKind::Directory, bytes: self.signed_directory.encode() },
            Evidence { kind: EvidenceKind::Policy, bytes: self.policy.encode() },
            Evidence { kind: EvidenceKind::Header, bytes: self.header.to_bytes() },
        ];
        let mut push = |kind, bytes: Option<Vec<u8>>| {
            evidence.extend(bytes.map(|bytes| Evidence { kind, bytes }));
        };
        push(EvidenceKind::Checkpoint, self.checkpoint.as_ref().map(|note| note.to_text().into_bytes()));
        push(EvidenceKind::Votes, self.votes.as_ref().map(Votes::to_bytes));
        push(EvidenceKind::Dispute, self.dispute.as_ref().map(Dispute::to_bytes));
        evidence
    }

    /// Signs the claims over the evidence, logs the receipt, bundles all.
    pub fn file(&self) -> ReceiptFile {
        self.file_with(self.evidence())
    }

    pub fn file_with(&self, mut evidence: Vec<Evidence>) -> ReceiptFile {
        let mut claims = self.claims.clone();
        claims.evidence = ReceiptFile::digests(&mut evidence);
        let receipt = claims.sign(&node(&claims.issuer)).expect("claims without contradiction");
        let mut leaves = self.log_leaves.clone();
        leaves.push(TreeHash::leaf(&receipt.leaf().0));
        let index = leaves.len() as u64 - 1;
        leaves.push(TreeHash::leaf(b"a later one"));
        let note = checkpoint(&leaves, claims.finished + 1_000);
        let inclusion = tree::inclusion_proof(&leaves[..], index, leaves.len() as u64).expect("in memory");
        let proof = LogProof { index, inclusion, note };
        ReceiptFile { receipt, evidence, log_proof: Some(proof.to_text().into_bytes()) }
    }

    pub fn opening(&self) -> Opening {
        Opening { job: self.header.id(), key: job_key() }
    }
}

/// The trace of an honest or a lying party.
pub fn run(lies: bool) -> TraceTree {
    let outputs = if lies { [batch(5), batch(1), batch(2)] } else { [batch(5), batch(6), batch(7)] };
    let leaves = outputs
        .iter()
        .enumerate()
        .map(|(index, batch)| trace::leaf(&job_key(), index, batch.view()))
        .collect();
    TraceTree::build(&job_key(), leaves).expect("three leaves")
}

pub fn reveal(header: &JobHeader, party: PublicIdentity, lies: bool) -> Reveal {
    let tree = run(lies);
    let output = if lies { batch(2) } else { batch(7) };
    let leaf = tree.leaf(2).expect("three leaves");
    Reveal {
        job: header.id(),
        node: party,
        output: commit_outputs(&job_key(), &header.shape, &[output]).expect("one output"),
        trace: tree.root(),
        blinding: [0x77; 32],
        outputs: vec![OutputLeaf { leaf, path: tree.prove_leaf(2).expect("three leaves") }],
    }
}

pub fn commit(reveal: &Reveal) -> Signed<Commit> {
    let Reveal { job, node: party, output, trace, blinding, .. } = reveal;
    let digest = vote_digest(*job, party, output, trace, blinding);
    Signed::sign(&node(party), Commit { job: *job, node: *party, digest })
}

pub fn votes(header: &JobHeader, liar: Option<PublicIdentity>) -> Votes {
    let reveals: Vec<_> =
        header.committee.iter().map(|party| reveal(header, *party, liar == Some(*party))).collect();
    Votes {
        version: header::VERSION,
        commits: reveals.iter().map(commit).collect(),
        reveals: reveals.into_iter().map(|reveal| Signed::sign(&node(&reveal.node), reveal)).collect(),
    }
}

/// The bisection between the liar and the next member, settled by `referee`.
pub fn dispute(header: &JobHeader, liar: PublicIdentity, referee: &SigningIdentity) -> Dispute {
    let honest = *header.committee.iter().find(|party| **party != liar).expect("three members");
    let (lying, true_run) = (run(true), run(false));
    let mut rounds = Vec::new();
    let mut progress = Bisection::start(3, lying.root(), true_run.root()).expect("roots differ");
    while let Progress::Ask(bisection) = progress {
        let position = bisection.position();
        let answer = |party: PublicIdentity, tree: &TraceTree| {
            let opening = tree.open(position).expect("an inner node");
            Signed::sign(&node(&party), Branches { job: header.id(), node: party, position, opening })
        };
        let round = Round { first: answer(liar, &lying), second: answer(honest, &true_run) };
        let (first, second) = (round.first.claimed().opening, round.second.claimed().opening);
        progress = bisection.step(&job_key(), &first, &second).expect("both open their own commitments");
        rounds.push(round);
    }
    let operand = true_run.leaf(0).expect("three leaves");
    let finding = Finding {
        job: header.id(),
        node: referee.public(),
        operation: LIE,
        operands: vec![operand],
        leaf: true_run.leaf(LIE).expect("three leaves"),
    };
    let operands =
        vec![OperandLeaf { value: 1, leaf: operand, path: true_run.prove_leaf(0).expect("three leaves") }];
    let end = End::Settle { operands, finding: Signed::sign(referee, finding) };
    Dispute {
        version: header::VERSION,
        unbound: Vec::new(),
        duels: vec![Duel { first: liar, second: honest, rounds, end }],
    }
}

pub fn unrelated() -> (JobId, Commitment) {
    (JobId(Digest([0x99; 32])), Commitment([0x99; 32]))
}
