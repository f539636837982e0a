//! The asking side: one job, from its header to a receipt or a refusal.
//!
//! It must (1) end by the deadline, whatever peers do; (2) accept only what a majority of the places stands behind
//! after every difference is settled; (3) name whoever is at fault, with evidence, and nobody else; (4) lose no accepted
//! job in a crash: what was assigned, which votes were fixed and what was decided are durable before anything depends on
//! them. Every question is repeated until it is answered or its time is over, so loss, duplication and reordering need no
//! rule of their own; an answer that nobody waits for is dropped.
//!
//! A job passes through: vote → reveal → settle (only when votes differ) → endorse → decided. `signed` and `proof` go from
//! vote to decided; a proof is checked in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use sealgrid_graph::execute::Batch;
use sealgrid_graph::integer::Graph;
use sealgrid_graph::proving::{Side, Statement, Verifier};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, CommitmentKey, labels};
use sealgrid_seal::envelope::{self, JobPublicKey, ReplyKey, Sealed};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};
use sealgrid_seal::rand_core;
use sealgrid_seal::secret::{Secret, SecretBytes};

use super::evidence::{
    Descent, Dispute, Duel, End, FalseProof, FalseProofs, Misopened, Round, Unbound, Votes, check_dispute,
};
use super::header::{
    CommittedPayload, JobHeader, OnDispute, PAYLOAD_BYTES_MAX, Payload, RefereeRule, VERSION, commit_outputs,
};
use super::message::{
    Answer, AskBranches, AskOperands, Assign, Endorse, Exchange, Message, Open, OperandLeaf, Operands, Refer,
    Why,
};
use super::statement::{Branches, Commit, Finding, Reveal, Signed};
use super::work::{Judged, Unusable, adjudicate, open_batches, open_operands, open_output, refer_aad};
use crate::claims::{self, Claims, EvidenceDigest, EvidenceKind, Fault, FaultKind, SignedClaims};
use crate::machine::{self, Machine, Millis, Ticket};
use crate::names::{Environment, JobId, Verification};

/// What a client asks its performer to do.
pub type ClientEffect = machine::Effect<Message, ClientWork, ClientReport>;
/// What happens to a client.
pub type ClientEvent = machine::Event<Message, ClientDone, ()>;

/// A party as the directory lists it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Party {
    /// Identity.
    #[n(0)]
    pub identity: PublicIdentity,
    /// Key that payloads are sealed to.
    #[n(1)]
    pub job_key: JobPublicKey,
    /// What it runs in.
    #[n(2)]
    pub environment: Environment,
}

/// How long a client waits, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Patience {
    /// For a vote, before a reserve is called.
    #[n(0)]
    pub vote_ms: Millis,
    /// For any later answer.
    #[n(1)]
    pub answer_ms: Millis,
    /// Before a question is repeated.
    #[n(2)]
    pub repeat_ms: Millis,
}

impl Patience {
    /// A third of the job's time for the first votes, a twelfth for each answer, and three tries of each.
    #[must_use]
    pub fn within(lifetime_ms: Millis) -> Self {
        let answer_ms = (lifetime_ms / 12).max(1);
        Self { vote_ms: (lifetime_ms / 3).max(1), answer_ms, repeat_ms: (answer_ms / 3).max(1) }
    }
}

/// Everything that is fixed before a job begins.
#[derive(Debug)]
pub struct Plan {
    /// The public header.
    pub header: JobHeader,
    /// Job key and inputs.
    pub payload: CommittedPayload,
    /// Parties in draw order: committee, then reserves.
    pub parties: Vec<Party>,
    /// Evidence that the caller attaches: directory, policy, checkpoint.
    pub evidence: Vec<EvidenceDigest>,
    /// How long to wait.
    pub patience: Patience,
}

/// A plan does not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job cannot begin: {0}")]
pub struct PlanError(pub &'static str);

impl PlanError {
    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "E-QRM-17"
    }
}

impl Plan {
    fn check(&self, client: &PublicIdentity) -> Result<(), PlanError> {
        self.header.check().map_err(|error| PlanError(error.what))?;
        let payload = self.payload.payload();
        let records = payload.inputs.iter().all(|batch| batch.records() == self.header.records as usize);
        let parties = self.parties.iter().map(|party| party.identity);
        let checks = [
            (self.header.client == *client, "the header names another client"),
            (parties.eq(self.header.parties()), "the parties are not those of the header"),
            (records, "an input has another number of records than the header"),
            (self.payload.input() == self.header.input, "the input is not the header's"),
            (payload.bytes_max() <= PAYLOAD_BYTES_MAX, "the input is longer than 32 MiB"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(PlanError(what)),
            None => Ok(()),
        }
    }
}

/// Work of a client.
#[derive(Debug, Clone)]
pub enum ClientWork {
    /// To referee its own dispute.
    Adjudicate(Adjudicate),
    /// To check a proof.
    Check(CheckProof),
}

/// What a client's work yields.
#[derive(Debug, Clone)]
pub enum ClientDone {
    /// The finding, or why there is none.
    Judged(Result<Judged, Why>),
    /// Whether the proof holds.
    Checked(Checked),
}

/// What came of checking a result that is said to be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// The proof leads to the output that came with it.
    Holds,
    /// The proof does not hold for what was signed with it: anybody finds that.
    False,
    /// The output that came with it is another one, or nothing here verifies proofs: nobody else can see that.
    Unusable,
}

impl ClientWork {
    /// Does it. `model` is the header's model, `None` when the client does not hold it after all; `verifier` is the model's,
    /// without which no proof holds.
    #[must_use]
    pub fn perform(&self, model: Option<&Graph>, verifier: Option<&dyn Verifier>) -> ClientDone {
        match self {
            Self::Adjudicate(work) => ClientDone::Judged(work.perform(model)),
            Self::Check(work) => ClientDone::Checked(match verifier {
                Some(verifier) => work.perform(verifier),
                None => Checked::Unusable,
            }),
        }
    }
}

/// Checks that a proof leads from the job's input to the output that came with it.
#[derive(Debug, Clone)]
pub struct CheckProof {
    statement: Statement,
    key: Arc<CommitmentKey>,
    output: Arc<Vec<Batch>>,
    proof: Arc<Vec<u8>>,
}

impl CheckProof {
    fn perform(&self, verifier: &dyn Verifier) -> Checked {
        if verifier.verify(&self.statement, &self.proof).is_err() {
            return Checked::False;
        }
        match verifier.commit(Side::Outputs, &self.key, &self.output) {
            Ok(committed) if committed == self.statement.output => Checked::Holds,
            _ => Checked::Unusable,
        }
    }
}

/// To referee a dispute: one operation on the reference.
#[derive(Debug, Clone)]
pub struct Adjudicate {
    header: Arc<JobHeader>,
    operation: u32,
    values: Vec<u32>,
    operands: Arc<Payload>,
}

impl Adjudicate {
    /// [`Why::UnknownModel`] without the model, [`Why::BadQuestion`] when the operands shown are not the operation's.
    fn perform(&self, model: Option<&Graph>) -> Result<Judged, Why> {
        let model = model.ok_or(Why::UnknownModel)?;
        adjudicate(model, &self.header, self.operation, &self.values, &self.operands)
    }
}

/// What a client tells its application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientReport {
    /// A party is at fault; the job goes on.
    Fault(Fault),
    /// A party declined, and said why. Its fault is reported, too.
    Decline {
        /// Who.
        node: PublicIdentity,
        /// Why, by its own word.
        why: Why,
    },
    /// The job is over; the last word, said again after every restart.
    Decide(Box<Decision>),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Decision {
    /// With a result.
    #[n(0)]
    Accept(#[n(0)] Accepted),
    /// Without.
    #[n(1)]
    Refuse(#[n(0)] Refused),
}

/// An accepted result.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {
    /// One batch per graph output: the owner's plaintext.
    #[n(0)]
    pub output: Vec<Batch>,
    /// The signed receipt.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// Evidence that the receipt names and the caller does not have yet: header, votes, dispute.
    #[n(2)]
    pub evidence: Vec<Evidence>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Evidence {
    /// What it is.
    #[n(0)]
    pub kind: EvidenceKind,
    /// Its bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// A refused job.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refused {
    /// Why.
    #[n(0)]
    pub reason: Reason,
    /// Who was found at fault until then.
    #[n(1)]
    pub faults: Vec<Fault>,
    /// Votes and disputes, as far as they went.
    #[n(2)]
    pub evidence: Vec<Evidence>,
}

/// Why a job is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum Reason {
    /// Fewer than a majority of the places agree once every difference is settled.
    #[n(0)]
    #[error("no majority of the committee stands behind one result")]
    NoMajority,
    /// Members differ, and the policy refuses then.
    #[n(1)]
    #[error("members differ and the policy refuses disputes")]
    Disputed,
    /// Members differ, and nobody is left who could settle it.
    #[n(2)]
    #[error("no referee is left to settle the dispute")]
    NoReferee,
    /// The members that agree delivered no output that opens.
    #[n(3)]
    #[error("no output that was voted for can be opened")]
    NoOutput,
    /// No member that agrees signed the receipt.
    #[n(4)]
    #[error("no member signed the receipt")]
    NoReceipt,
    /// Too few nodes answered.
    #[n(5)]
    #[error("too few nodes answered")]
    TooFewNodes,
    /// The deadline passed first.
    #[n(6)]
    #[error("the deadline passed")]
    Deadline,
}

impl Reason {
    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoMajority => "E-QRM-20",
            Self::Disputed => "E-QRM-21",
            Self::NoReferee => "E-QRM-22",
            Self::NoOutput => "E-QRM-23",
            Self::NoReceipt => "E-QRM-24",
            Self::TooFewNodes => "E-AVL-62",
            Self::Deadline => "E-AVL-63",
        }
    }
}

/// A party that was assigned the job.
struct Voter {
    rank: usize,
    assign: Arc<Assign>,
    reply: ReplyKey,
    durable: bool,
    due: Millis,
    commit: Option<Signed<Commit>>,
    reveal: Option<Signed<Reveal>>,
    output: Option<Vec<Batch>>,
    /// What it answered alone, while its proof is being checked.
    checking: Option<Box<Answered>>,
    out: bool,
    unreachable: bool,
}

impl Voter {
    /// Whether neither its vote nor its answer has come.
    fn is_waited_for(&self) -> bool {
        self.commit.is_none() && self.checking.is_none()
    }
}

/// An answer of one who answers alone, whose receipt and output hold.
struct Answered {
    receipt: Vec<u8>,
    output: Arc<Vec<Batch>>,
    proof: Arc<Vec<u8>>,
}

/// What is durable of a voter, before it is assigned anything.
#[derive(Encode, Decode)]
struct VoterRecord {
    #[n(0)]
    version: u16,
    #[cbor(n(1), with = "super::message::shared")]
    assign: Arc<Assign>,
    #[cbor(n(2), with = "minicbor::bytes")]
    reply: [u8; 32],
    #[n(3)]
    faults: Vec<Fault>,
    /// What proves equivocations among them.
    #[n(4)]
    equivocal: Vec<Signed<Commit>>,
    /// What proves bad proofs among them, which the voter's draft names.
    #[n(5)]
    false_proofs: Option<FalseProofs>,
}

/// What is durable of a job, before anything else is.
#[derive(Encode, Decode)]
struct PlanRecord {
    #[n(0)]
    version: u16,
    #[n(1)]
    header: JobHeader,
    #[cbor(n(2), with = "minicbor::bytes")]
    payload: Vec<u8>,
    #[n(3)]
    parties: Vec<Party>,
    #[n(4)]
    evidence: Vec<EvidenceDigest>,
    #[n(5)]
    patience: Patience,
}

/// What is durable before any vote is shown.
#[derive(Encode, Decode)]
struct OpenRecord {
    #[n(0)]
    version: u16,
    #[n(1)]
    commits: Vec<Signed<Commit>>,
    #[n(2)]
    faults: Vec<Fault>,
    /// What proves equivocations among them.
    #[n(3)]
    equivocal: Vec<Signed<Commit>>,
}

enum Phase {
    Vote,
    /// The votes are fixed and become durable.
    Fix,
    Reveal {
        due: Millis,
    },
    Settle(Box<Bout>),
    Endorse {
        lead: usize,
        claims: Box<Claims>,
        due: Millis,
    },
    /// The decision becomes durable.
    Decide(Box<Decision>),
    Done,
}

/// One bisection in progress, between two voters.
struct Bout {
    parties: [usize; 2],
    descent: Descent,
    rounds: Vec<Round>,
    step: Step,
    due: Millis,
}

enum Step {
    /// Both are to open the node at the descent's position.
    Ask([Option<Signed<Branches>>; 2]),
    /// Either is to show the operands of this operation.
    Operands,
    /// A referee runs it: rank of the reserve, or `None` for the client itself.
    Judge {
        operands: Vec<OperandLeaf>,
        batches: Arc<Payload>,
        shown_by: usize,
        referee: Option<(usize, Refer)>,
    },
}

const PLAN: Ticket = Ticket(0);
const OPEN: Ticket = Ticket(1);
const DECISION: Ticket = Ticket(2);
const CLOCK: Ticket = Ticket(3);
const JUDGE: Ticket = Ticket(4);
/// Voter of rank `r` has ticket `VOTERS + r`.
const VOTERS: u64 = 16;
/// The check of the proof of the voter of rank `r` has ticket `CHECKS + r`.
const CHECKS: u64 = 64;

/// The client's machine for one job.
pub struct ClientMachine<R> {
    identity: SigningIdentity,
    rng: R,
    /// Whether anything is kept: what nobody keeps is not written down either.
    keeps: bool,
    header: Arc<JobHeader>,
    job: JobId,
    payload: Payload,
    parties: Vec<Party>,
    evidence: Vec<EvidenceDigest>,
    patience: Patience,
    plan_durable: bool,
    voters: Vec<Voter>,
    /// Parties of lower rank have had their turn.
    next_rank: usize,
    referees_used: Vec<usize>,
    faults: Vec<Fault>,
    /// Both votes of each party that cast two.
    equivocal: Vec<Signed<Commit>>,
    /// Proofs that do not hold, of members that were replaced for them.
    false_proofs: FalseProofs,
    /// The votes that every member is shown; set once.
    fixed: Vec<Signed<Commit>>,
    dispute: Dispute,
    phase: Phase,
    repeat_at: Millis,
    timer: Option<Millis>,
    effects: VecDeque<ClientEffect>,
}

impl<R: CryptoRng> ClientMachine<R> {
    /// Begins a job at `now`.
    ///
    /// # Errors
    /// [`PlanError`] when the plan does not fit together.
    pub fn begin(identity: SigningIdentity, rng: R, plan: Plan, now: Millis) -> Result<Self, PlanError> {
        Self::begin_as(identity, rng, plan, now, true)
    }

    /// Begins a job that ends with this process: its stores carry no value.
    ///
    /// # Errors
    /// As [`ClientMachine::begin`].
    pub fn begin_unkept(
        identity: SigningIdentity,
        rng: R,
        plan: Plan,
        now: Millis,
    ) -> Result<Self, PlanError> {
        Self::begin_as(identity, rng, plan, now, false)
    }

    fn begin_as(
        identity: SigningIdentity,
        rng: R,
        plan: Plan,
        now: Millis,
        keeps: bool,
    ) -> Result<Self, PlanError> {
        plan.check(&identity.public())?;
        let mut machine = Self { keeps, ..Self::idle(identity, rng, plan, now) };
        machine.store(PLAN, b"plan", Self::plan_record);
        for _ in 0..machine.header.members() {
            machine.call_next(now);
        }
        machine.advance(now);
        Ok(machine)
    }

    /// Takes a job up again from what its store holds under each key ([`ClientMachine::job`]'s bytes, then a word).
    /// `None` when nothing was durable: then nothing was sent, and the job never began.
    #[must_use]
    pub fn resume(
        identity: SigningIdentity,
        rng: R,
        now: Millis,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Option<Self> {
        let records: BTreeMap<Vec<u8>, Vec<u8>> =
            records.into_iter().filter_map(|(key, value)| Some((key.get(32..)?.to_vec(), value))).collect();
        let plan = read_plan(records.get(&b"plan"[..])?)?;
        plan.check(&identity.public()).ok()?;
        let mut machine = Self::idle(identity, rng, plan, now);
        machine.plan_durable = true;
        machine.restore_voters(now, &records);
        if let Some(decision) = records.get(&b"decision"[..]).and_then(|bytes| read(bytes)) {
            machine.phase = Phase::Done;
            machine.report(ClientReport::Decide(Box::new(decision)));
        } else if let Some(open) = records.get(&b"open"[..]).and_then(|bytes| read::<OpenRecord>(bytes)) {
            machine.restore_open(now, open);
        }
        while machine.seated() < machine.header.members() && matches!(machine.phase, Phase::Vote) {
            if !machine.call_next(now) {
                break;
            }
        }
        machine.advance(now);
        Some(machine)
    }

    fn idle(identity: SigningIdentity, rng: R, plan: Plan, now: Millis) -> Self {
        Self {
            identity,
            rng,
            keeps: true,
            job: plan.header.id(),
            header: Arc::new(plan.header),
            payload: plan.payload.into_payload(),
            parties: plan.parties,
            evidence: plan.evidence,
            patience: plan.patience,
            plan_durable: false,
            voters: Vec::new(),
            next_rank: 0,
            referees_used: Vec::new(),
            faults: Vec::new(),
            equivocal: Vec::new(),
            false_proofs: FalseProofs::none(),
            fixed: Vec::new(),
            dispute: Dispute { version: VERSION, unbound: Vec::new(), duels: Vec::new() },
            phase: Phase::Vote,
            repeat_at: now,
            timer: None,
            effects: VecDeque::new(),
        }
    }

    fn restore_voters(&mut self, now: Millis, records: &BTreeMap<Vec<u8>, Vec<u8>>) {
        for rank in 0..self.parties.len() {
            let record = records.get(&voter_key(rank)).and_then(|bytes| read::<VoterRecord>(bytes));
            let Some(record) = record else { continue };
            let reply = ReplyKey::from_secret(Secret::new(record.reply));
            self.voters.push(self.voter(now, rank, record.assign, reply, true));
            self.faults = record.faults;
            self.equivocal = record.equivocal;
            self.false_proofs = record.false_proofs.unwrap_or(FalseProofs::none());
            self.next_rank = rank + 1;
        }
        for voter in &mut self.voters {
            let identity = self.parties[voter.rank].identity;
            voter.out = self.faults.iter().any(|fault| fault.node == identity);
        }
    }

    fn restore_open(&mut self, now: Millis, open: OpenRecord) {
        self.faults = open.faults;
        self.equivocal = open.equivocal;
        for voter in &mut self.voters {
            let identity = self.parties[voter.rank].identity;
            voter.commit = open.commits.iter().find(|commit| commit.claimed().node == identity).cloned();
            voter.out = voter.commit.is_none();
        }
        self.fixed = open.commits;
        self.phase = Phase::Reveal { due: now + self.patience.answer_ms };
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> JobId {
        self.job
    }

    /// Whether the decision was reported.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    fn plan_record(&self) -> Vec<u8> {
        canonical::encode(&PlanRecord {
            version: VERSION,
            header: JobHeader::clone(&self.header),
            payload: self.payload.encode().expose().to_vec(),
            parties: self.parties.clone(),
            evidence: self.evidence.clone(),
            patience: self.patience,
        })
    }

    // ---- effects ----

    fn store(&mut self, ticket: Ticket, word: &[u8], value: impl FnOnce(&Self) -> Vec<u8>) {
        let key = [&self.job.0.0[..], word].concat();
        let value = self.keeps.then(|| value(self));
        self.effects.push_back(ClientEffect::Store { ticket, key, value });
    }

    fn report(&mut self, report: ClientReport) {
        self.effects.push_back(ClientEffect::Report(report));
    }

    fn send(&mut self, rank: usize, message: Message) {
        let to = self.parties[rank].identity;
        self.effects.push_back(ClientEffect::Send { to, message });
    }

    fn fault(&mut self, rank: usize, kind: FaultKind) {
        let fault = Fault { node: self.parties[rank].identity, kind };
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
            self.report(ClientReport::Fault(fault));
        }
    }

    // ---- voters ----

    fn voter(&self, now: Millis, rank: usize, assign: Arc<Assign>, reply: ReplyKey, durable: bool) -> Voter {
        Voter {
            rank,
            assign,
            reply,
            durable,
            due: now + self.patience.vote_ms,
            commit: None,
            reveal: None,
            output: None,
            checking: None,
            out: false,
            unreachable: false,
        }
    }

    /// Voters that hold a place.
    fn seated(&self) -> usize {
        self.voters.iter().filter(|voter| !voter.out).count()
    }

    /// Seats the next party in draw order; `false` when none is left. It is assigned once that is durable, so that after a
    /// crash it gets the very same bytes again.
    fn call_next(&mut self, now: Millis) -> bool {
        while let Some(party) = self.parties.get(self.next_rank).cloned() {
            let rank = self.next_rank;
            self.next_rank += 1;
            let draft = self.signed_draft(rank, &party);
            let Some((payload, reply)) = self.seal(&party, &self.header.to_bytes(), None) else {
                self.fault(rank, FaultKind::Refuse); // a key that nothing can be sealed to
                continue;
            };
            let assign = Arc::new(Assign { header: JobHeader::clone(&self.header), payload, draft });
            let voter = self.voter(now, rank, assign, reply, false);
            self.store(Ticket(VOTERS + rank as u64), &voter_key(rank), |machine| {
                machine.voter_record(&voter)
            });
            self.voters.push(voter);
            return true;
        }
        false
    }

    fn voter_record(&self, voter: &Voter) -> Vec<u8> {
        canonical::encode(&VoterRecord {
            version: VERSION,
            assign: Arc::clone(&voter.assign),
            reply: *voter.reply.secret().expose(),
            faults: self.faults.clone(),
            equivocal: self.equivocal.clone(),
            false_proofs: Some(&self.false_proofs).filter(|proofs| !proofs.given.is_empty()).cloned(),
        })
    }

    /// Seals the job's payload, or `operands`, to a party.
    fn seal(&mut self, party: &Party, aad: &[u8], operands: Option<&Payload>) -> Option<(Sealed, ReplyKey)> {
        let plain: SecretBytes = operands.unwrap_or(&self.payload).encode();
        let sealed = envelope::seal_owned(&mut self.rng, &party.job_key, labels::JOB_PAYLOAD, aad, plain);
        let (sealed, exporter) = sealed.ok()?;
        Some((sealed, exporter.reply_key(labels::JOB_REPLY)))
    }

    fn signed_draft(&self, rank: usize, party: &Party) -> Option<Claims> {
        if !self.header.verification.is_alone() {
            return None;
        }
        let own = self.dispute_evidence();
        let mut draft = self.claims(rank, Commitment([0; 32]), self.header.requested, Some(&own));
        draft.environment = party.environment;
        Some(draft)
    }

    /// A voter loses its place; while votes may still be cast, the next reserve takes it.
    fn unseat(&mut self, now: Millis, index: usize, kind: FaultKind) {
        let rank = self.voters[index].rank;
        self.voters[index].out = true;
        self.fault(rank, kind);
        if matches!(self.phase, Phase::Vote) {
            self.call_next(now);
        }
    }

    fn late(&self, index: usize) -> FaultKind {
        if self.voters[index].unreachable { FaultKind::Unreachable } else { FaultKind::Late }
    }

    fn voter_of(&self, node: &PublicIdentity) -> Option<usize> {
        self.voters.iter().position(|voter| self.parties[voter.rank].identity == *node)
    }

    // ---- answers ----

    fn received(&mut self, now: Millis, from: PublicIdentity, message: Message) {
        if message.job() != self.job {
            return;
        }
        if let Some(index) = self.voter_of(&from) {
            self.voters[index].unreachable = false;
        }
        match message {
            Message::Commit(commit) => self.committed(now, &from, commit),
            Message::Answer(answer) => self.answered(now, &from, answer),
            Message::Reveal(message) => self.revealed(&from, message.reveal, &message.output),
            Message::Branches(branches) => self.branched(&from, branches),
            Message::Operands(operands) => self.shown(now, &from, &operands),
            Message::Finding(finding) => self.found(now, &from, finding),
            Message::Receipt(receipt) => self.endorsed(&from, receipt.receipt),
            Message::Refuse(refusal) => self.refused(now, &from, refusal.exchange, refusal.why),
            _ => {} // a question: clients answer none
        }
    }

    fn committed(&mut self, now: Millis, from: &PublicIdentity, commit: Signed<Commit>) {
        if self.header.verification.is_alone() || commit.verify_from(from, self.job).is_err() {
            return;
        }
        let Some(index) = self.voter_of(from) else { return };
        match &self.voters[index].commit {
            Some(known) if *known == commit => {}
            Some(known) if known.claimed().digest == commit.claimed().digest => {}
            // QUORUM-02: two votes of one party. Once votes are shown it can gain nothing by a second, and is heard as it
            // voted first.
            Some(known) if !self.voters[index].out && self.is_voting() => {
                self.equivocal.extend([known.clone(), commit]);
                self.unseat(now, index, FaultKind::Equivocate);
            }
            None if !self.voters[index].out && matches!(self.phase, Phase::Vote) => {
                self.voters[index].commit = Some(commit);
            }
            // QUORUM-04: too late; the votes are fixed, or a reserve was called.
            _ => {}
        }
    }

    /// Whether votes are still being cast or shown.
    fn is_voting(&self) -> bool {
        matches!(self.phase, Phase::Vote | Phase::Fix | Phase::Reveal { .. })
    }

    fn answered(&mut self, now: Millis, from: &PublicIdentity, answer: Answer) {
        let Some(index) = self.voter_of(from).filter(|index| !self.voters[*index].out) else { return };
        if !matches!(self.phase, Phase::Vote) || self.voters[index].checking.is_some() {
            return;
        }
        let Some((claims, output)) = self.check_answer(index, &answer) else {
            return self.unseat(now, index, FaultKind::Refuse);
        };
        let Answer { receipt, proof, .. } = answer;
        match proof {
            None => {
                let evidence = vec![self.header_evidence()];
                self.decide(Decision::Accept(Accepted { output, receipt, evidence }));
            }
            Some(proof) => self.check_proof(index, &claims, receipt, output, proof),
        }
    }

    /// QUORUM-19: the receipt is the draft with output, time and proof, and the output is the one it names; of a proof, the
    /// proof says which.
    fn check_answer(&self, index: usize, answer: &Answer) -> Option<(Claims, Vec<Batch>)> {
        let voter = &self.voters[index];
        let draft = voter.assign.draft.as_ref()?;
        let claims = SignedClaims::from_bytes(answer.receipt.clone()).verify().ok()?;
        let expected = draft.completed(claims.output, claims.finished, answer.proof.as_deref());
        let in_time = (self.header.requested..=self.header.deadline).contains(&claims.finished);
        let output = open_batches(self.job, &voter.reply, &answer.output)?;
        let is_named = match self.header.verification {
            Verification::Proof => answer.proof.is_some(),
            _ => {
                let committed = commit_outputs(&self.payload.job_key, &self.header.shape, &output)?;
                answer.proof.is_none() && committed == claims.output
            }
        };
        (claims == expected && in_time && is_named).then_some((claims, output))
    }

    fn check_proof(
        &mut self,
        index: usize,
        claims: &Claims,
        receipt: Vec<u8>,
        output: Vec<Batch>,
        proof: Vec<u8>,
    ) {
        let (output, proof) = (Arc::new(output), Arc::new(proof));
        let work = CheckProof {
            statement: claims.proven(),
            key: Arc::new(self.payload.job_key.duplicate()),
            output: Arc::clone(&output),
            proof: Arc::clone(&proof),
        };
        let ticket = Ticket(CHECKS + self.voters[index].rank as u64);
        self.voters[index].checking = Some(Box::new(Answered { receipt, output, proof }));
        self.effects.push_back(ClientEffect::Run { ticket, work: ClientWork::Check(work) });
    }

    /// A proof that does not hold costs its maker the place; the next reserve is asked, whose receipt will carry it (QUORUM-21).
    fn checked(&mut self, now: Millis, ticket: Ticket, checked: Checked) {
        let rank = ticket.0.checked_sub(CHECKS);
        let index = self.voters.iter().position(|voter| Some(voter.rank as u64) == rank);
        let is_heard = |index: &usize| matches!(self.phase, Phase::Vote) && !self.voters[*index].out;
        let Some(index) = index.filter(is_heard) else { return };
        let Some(answered) = self.voters[index].checking.take() else { return };
        let Answered { receipt, output, proof } = *answered;
        let proof = Arc::unwrap_or_clone(proof);
        if checked == Checked::False {
            self.false_proofs.add(FalseProof { receipt, proof });
            return self.unseat(now, index, FaultKind::BadProof);
        }
        if checked != Checked::Holds {
            return self.unseat(now, index, FaultKind::BadProof);
        }
        let mut evidence = vec![self.header_evidence(), Evidence { kind: EvidenceKind::Proof, bytes: proof }];
        evidence.extend(self.dispute_evidence());
        let output = Arc::unwrap_or_clone(output);
        self.decide(Decision::Accept(Accepted { output, receipt, evidence }));
    }

    fn revealed(&mut self, from: &PublicIdentity, signed: Signed<Reveal>, sealed: &[u8]) {
        let Phase::Reveal { .. } = self.phase else { return };
        let Some(index) = self.voter_of(from) else { return };
        let voter = &self.voters[index];
        let Some(commit) = voter.commit.as_ref().filter(|_| !voter.out && voter.reveal.is_none()) else {
            return;
        };
        let Ok(reveal) = signed.verify_from(from, self.job) else { return };
        let rank = voter.rank;
        if !reveal.opens(commit.claimed()) {
            // QUORUM-06: it shows another vote than it had hidden.
            self.voters[index].reveal = Some(signed);
            self.voters[index].out = true;
            self.fault(rank, FaultKind::Equivocate);
            return;
        }
        match open_output(&self.header, &self.payload, &voter.reply, reveal, sealed) {
            Ok(output) => self.voters[index].output = Some(output),
            // QUORUM-07: the vote stands, only its output is of no use.
            Err(Unusable::Undelivered) => self.fault(rank, FaultKind::Silent),
            Err(Unusable::Unbound(operation)) => {
                let node = self.parties[rank].identity;
                self.dispute.unbound.push(Unbound { node, operation });
                self.voters[index].out = true;
                self.fault(rank, FaultKind::Lie { operation });
            }
        }
        self.voters[index].reveal = Some(signed);
    }

    fn branched(&mut self, from: &PublicIdentity, signed: Signed<Branches>) {
        let Some(index) = self.voter_of(from) else { return };
        let job = self.job;
        let Phase::Settle(bout) = &mut self.phase else { return };
        let Some(side) = bout.parties.iter().position(|party| *party == index) else { return };
        let Step::Ask(answers) = &mut bout.step else { return };
        let asked = signed.verify_from(from, job).is_ok_and(|said| said.position == bout.descent.position);
        if asked && answers[side].is_none() {
            answers[side] = Some(signed);
        }
    }

    fn shown(&mut self, now: Millis, from: &PublicIdentity, operands: &Operands) {
        let Some(index) = self.voter_of(from) else { return };
        let Phase::Settle(bout) = &self.phase else { return };
        let asked = bout.descent.leaf() == Some(operands.operation) && bout.parties.contains(&index);
        if !asked || !matches!(bout.step, Step::Operands) {
            return;
        }
        let voter = &self.voters[index];
        let Some(reveal) = voter.reveal.as_ref() else { return };
        let root = reveal.claimed().trace;
        let Some(batches) = open_operands(&self.header, &self.payload, &voter.reply, &root, operands) else {
            return; // as good as no answer: it is silent unless it shows the right ones in time
        };
        let batches = Arc::new(Payload { job_key: self.payload.job_key.duplicate(), inputs: batches });
        self.call_referee(now, operands.leaves.clone(), batches, index);
    }

    /// Gives the agreed operands to the client itself, or to the next reserve that has not voted (QUORUM-14).
    fn call_referee(
        &mut self,
        now: Millis,
        operands: Vec<OperandLeaf>,
        batches: Arc<Payload>,
        shown_by: usize,
    ) {
        let Phase::Settle(bout) = &self.phase else { return };
        let Some(operation) = bout.descent.leaf() else { return };
        let values: Vec<u32> = operands.iter().map(|operand| operand.value).collect();
        let referee = match self.header.referee {
            RefereeRule::Client => {
                let work = Adjudicate {
                    header: Arc::clone(&self.header),
                    operation,
                    values,
                    operands: Arc::clone(&batches),
                };
                let work = ClientWork::Adjudicate(work);
                self.effects.push_back(ClientEffect::Run { ticket: JUDGE, work });
                None
            }
            RefereeRule::Reserve => {
                let Some((rank, refer)) = self.refer(operation, values, &batches) else {
                    self.refuse_job(Reason::NoReferee);
                    return;
                };
                self.send(rank, Message::Refer(Box::new(refer.clone())));
                Some((rank, refer))
            }
        };
        let due = now + self.patience.answer_ms;
        if let Phase::Settle(bout) = &mut self.phase {
            bout.step = Step::Judge { operands, batches, shown_by, referee };
            bout.due = due;
        }
    }

    fn refer(&mut self, operation: u32, values: Vec<u32>, batches: &Payload) -> Option<(usize, Refer)> {
        // Who judged a dispute of this job before judges the next one too.
        let known = self.referees_used.iter().copied().find(|rank| !self.has_fault(*rank));
        let fresh = self.next_rank.max(self.header.members());
        let candidates: Vec<usize> = known.into_iter().chain(fresh..self.parties.len()).collect();
        for rank in candidates {
            if !self.referees_used.contains(&rank) {
                self.referees_used.push(rank);
                self.next_rank = rank + 1;
            }
            let party = self.parties[rank].clone();
            let aad = refer_aad(&self.header, operation);
            if let Some((payload, _)) = self.seal(&party, &aad, Some(batches)) {
                return Some((
                    rank,
                    Refer { header: JobHeader::clone(&self.header), operation, values, payload },
                ));
            }
            self.fault(rank, FaultKind::Refuse);
        }
        None
    }

    fn has_fault(&self, rank: usize) -> bool {
        self.faults.iter().any(|fault| fault.node == self.parties[rank].identity)
    }

    fn found(&mut self, now: Millis, from: &PublicIdentity, finding: Signed<Finding>) {
        let Phase::Settle(bout) = &self.phase else { return };
        let Step::Judge { referee: Some((rank, _)), .. } = &bout.step else { return };
        if self.parties[*rank].identity != *from || finding.verify_from(from, self.job).is_err() {
            return;
        }
        self.settle(now, finding);
    }

    fn judged(&mut self, now: Millis, judged: Result<Judged, Why>) {
        let Phase::Settle(bout) = &self.phase else { return };
        let Some(operation) = bout.descent.leaf() else { return };
        let Step::Judge { referee: None, shown_by, .. } = bout.step else { return };
        let Judged { operands, leaf } = match judged {
            Ok(judged) => judged,
            Err(Why::BadQuestion) => return self.misshown(now, shown_by),
            Err(_) => return self.refuse_job(Reason::NoReferee),
        };
        let finding = Finding { job: self.job, node: self.identity.public(), operation, operands, leaf };
        let finding = Signed::sign(&self.identity, finding);
        self.settle(now, finding);
    }

    /// QUORUM-15: whose leaf differs from the finding lies, with everybody who signed the same root.
    fn settle(&mut self, now: Millis, signed: Signed<Finding>) {
        let Phase::Settle(bout) = &self.phase else { return };
        let Step::Judge { operands, .. } = &bout.step else { return };
        let (finding, descent, parties) = (signed.claimed(), bout.descent, bout.parties);
        let given = operands.iter().map(|operand| operand.leaf);
        let fits = descent.leaf() == Some(finding.operation) && given.eq(finding.operands.iter().copied());
        if !fits {
            return; // not about what was asked: the referee is late unless it answers in time
        }
        let (leaf, operation) = (finding.leaf, finding.operation);
        let end = End::Settle { operands: operands.clone(), finding: signed };
        self.end_duel(end);
        for (index, told) in parties.into_iter().zip([descent.first, descent.second]) {
            if told != leaf {
                for member in self.class_of(index) {
                    self.lose(member, FaultKind::Lie { operation });
                }
            }
        }
        self.next_duel(now);
    }

    fn endorsed(&mut self, from: &PublicIdentity, receipt: Vec<u8>) {
        let Phase::Endorse { lead, claims, .. } = &self.phase else { return };
        let lead = *lead;
        let is_lead = self.parties[self.voters[lead].rank].identity == *from;
        let signed = SignedClaims::from_bytes(receipt.clone()).verify();
        if !is_lead || signed.as_ref() != Ok(&**claims) {
            return;
        }
        let output = self.class_of(lead).into_iter().find_map(|index| self.voters[index].output.clone());
        let Some(output) = output else { return };
        let mut evidence = vec![self.header_evidence()];
        evidence.extend(self.dispute_evidence());
        self.decide(Decision::Accept(Accepted { output, receipt, evidence }));
    }

    fn refused(&mut self, now: Millis, from: &PublicIdentity, exchange: Exchange, why: Why) {
        if let Some(index) = self.voter_of(from).filter(|index| !self.voters[*index].out) {
            match (&self.phase, exchange) {
                (Phase::Vote, Exchange::Assign) if self.voters[index].is_waited_for() => {
                    self.report(ClientReport::Decline { node: *from, why });
                    self.unseat(now, index, FaultKind::Refuse);
                }
                (Phase::Reveal { .. }, Exchange::Open) if self.voters[index].reveal.is_none() => {
                    self.unseat(now, index, FaultKind::Refuse);
                }
                (Phase::Endorse { lead, .. }, Exchange::Endorse) if *lead == index => {
                    self.next_lead(now, FaultKind::Refuse);
                }
                // In a dispute a refusal is silence, and silence has until its time is over to end.
                _ => {}
            }
            return;
        }
        let Phase::Settle(bout) = &self.phase else { return };
        let Step::Judge { referee: Some((rank, _)), shown_by, .. } = &bout.step else { return };
        if exchange != Exchange::Refer || self.parties[*rank].identity != *from {
            return;
        }
        match why {
            Why::BadQuestion => self.misshown(now, *shown_by),
            _ => self.next_referee(now, FaultKind::Refuse),
        }
    }

    fn unreachable(&mut self, now: Millis, peer: &PublicIdentity) {
        if let Some(index) = self.voter_of(peer).filter(|index| !self.voters[*index].out) {
            self.voters[index].unreachable = true;
            if matches!(self.phase, Phase::Vote) && self.voters[index].is_waited_for() {
                self.unseat(now, index, FaultKind::Unreachable);
            }
            return;
        }
        if let Phase::Settle(bout) = &self.phase
            && let Step::Judge { referee: Some((rank, _)), .. } = &bout.step
            && self.parties[*rank].identity == *peer
        {
            self.next_referee(now, FaultKind::Unreachable);
        }
    }

    // ---- phases ----

    /// Goes on as far as what is known allows, then repeats what is due and sets the clock.
    fn advance(&mut self, now: Millis) {
        // Each pass ends a phase or a step of a bounded bisection.
        while self.step(now) {}
        if now >= self.repeat_at {
            self.repeat_at = now + self.patience.repeat_ms;
            self.ask();
        }
        self.set_clock();
    }

    /// Whether something changed.
    fn step(&mut self, now: Millis) -> bool {
        if now >= self.header.deadline && !matches!(self.phase, Phase::Decide(_) | Phase::Done) {
            self.blame_for_deadline();
            self.refuse_job(Reason::Deadline);
            return true;
        }
        match &self.phase {
            Phase::Vote => self.step_vote(now),
            Phase::Reveal { due } => {
                let due = *due;
                self.step_reveal(now, due)
            }
            Phase::Settle(_) => self.step_settle(now),
            Phase::Endorse { due, lead, .. } if now >= *due => {
                let kind = self.late(*lead);
                self.next_lead(now, kind);
                true
            }
            Phase::Endorse { .. } | Phase::Fix | Phase::Decide(_) | Phase::Done => false,
        }
    }

    /// Who was being waited for when the time was over.
    fn blame_for_deadline(&mut self) {
        for index in 0..self.voters.len() {
            let voter = &self.voters[index];
            let waited = match self.phase {
                Phase::Vote => voter.is_waited_for(),
                Phase::Reveal { .. } => voter.reveal.is_none(),
                _ => false,
            };
            if waited && !voter.out && voter.durable {
                self.fault(self.voters[index].rank, self.late(index));
            }
        }
    }

    fn step_vote(&mut self, now: Millis) -> bool {
        for index in 0..self.voters.len() {
            let voter = &self.voters[index];
            if !voter.out && voter.is_waited_for() && now >= voter.due {
                self.unseat(now, index, self.late(index));
                return true;
            }
        }
        let needed = self.header.majority();
        if self.seated() < needed {
            self.refuse_job(Reason::TooFewNodes);
            return true;
        }
        let voted = |voter: &Voter| voter.out || voter.commit.is_some();
        if self.header.verification.is_alone() || !self.voters.iter().all(voted) {
            return false;
        }
        let record = OpenRecord {
            version: VERSION,
            commits: self.commits(),
            faults: self.faults.clone(),
            equivocal: self.equivocal.clone(),
        };
        self.phase = Phase::Fix;
        self.store(OPEN, b"open", |_| canonical::encode(&record));
        self.fixed = record.commits;
        true
    }

    /// Votes that are in, in draw order.
    fn commits(&self) -> Vec<Signed<Commit>> {
        self.voters.iter().filter(|voter| !voter.out).filter_map(|voter| voter.commit.clone()).collect()
    }

    fn step_reveal(&mut self, now: Millis, due: Millis) -> bool {
        let waiting = |voter: &Voter| !voter.out && voter.reveal.is_none();
        if now < due && self.voters.iter().any(waiting) {
            return false;
        }
        // QUORUM-06: who does not show its vote has none. Nobody has seen the others', so it gained nothing.
        for index in 0..self.voters.len() {
            if waiting(&self.voters[index]) {
                self.unseat(now, index, self.late(index));
            }
        }
        self.next_duel(now);
        true
    }

    /// Voters with the same vote as `index`, in draw order.
    fn class_of(&self, index: usize) -> Vec<usize> {
        let vote = |voter: &Voter| {
            let reveal = voter.reveal.as_ref()?.claimed();
            Some((reveal.output, reveal.trace))
        };
        let own = vote(&self.voters[index]);
        let same = |other: &usize| !self.voters[*other].out && vote(&self.voters[*other]) == own;
        (0..self.voters.len()).filter(same).collect()
    }

    /// Settles the next difference, or goes on to the receipt when there is none.
    fn next_duel(&mut self, now: Millis) {
        let Some(first) = (0..self.voters.len()).find(|index| !self.voters[*index].out) else {
            self.refuse_job(Reason::NoMajority);
            return;
        };
        let class = self.class_of(first);
        let other = (0..self.voters.len()).find(|index| !self.voters[*index].out && !class.contains(index));
        match other {
            Some(_) if self.header.on_dispute == OnDispute::Refuse => self.refuse_job(Reason::Disputed),
            Some(second) => self.begin_duel(now, first, second),
            // QUORUM-09.
            None if class.len() < self.header.majority() => self.refuse_job(Reason::NoMajority),
            None if class.iter().all(|index| self.voters[*index].output.is_none()) => {
                self.refuse_job(Reason::NoOutput);
            }
            None => self.begin_endorsement(now),
        }
    }

    fn begin_duel(&mut self, now: Millis, first: usize, second: usize) {
        let root = |index: usize| self.voters[index].reveal.as_ref().map(|reveal| reveal.claimed().trace);
        let (Some(left), Some(right)) = (root(first), root(second)) else { return };
        let descent = Descent::start(self.header.shape.operations, left, right);
        let step = if descent.leaf().is_some() { Step::Operands } else { Step::Ask([None, None]) };
        let due = now + self.patience.answer_ms;
        self.phase = Phase::Settle(Box::new(Bout {
            parties: [first, second],
            descent,
            rounds: Vec::new(),
            step,
            due,
        }));
        self.repeat_at = now;
    }

    fn step_settle(&mut self, now: Millis) -> bool {
        let Phase::Settle(bout) = &mut self.phase else { return false };
        let overdue = now >= bout.due;
        match &mut bout.step {
            Step::Ask([Some(first), Some(second)]) => {
                let round = Round { first: first.clone(), second: second.clone() };
                self.descend(now, round);
                true
            }
            Step::Ask(answers) if overdue => {
                let silent = [answers[0].is_none(), answers[1].is_none()];
                self.silence(now, silent);
                true
            }
            Step::Operands if overdue => {
                self.silence(now, [true, true]);
                true
            }
            Step::Judge { referee: Some(_), .. } if overdue => {
                self.next_referee(now, FaultKind::Late);
                true
            }
            _ => false,
        }
    }

    fn descend(&mut self, now: Millis, round: Round) {
        let due = now + self.patience.answer_ms;
        let Phase::Settle(bout) = &mut self.phase else { return };
        let openings = (round.first.claimed().opening, round.second.claimed().opening);
        let next = bout.descent.step(Some(&self.payload.job_key), &openings.0, &openings.1);
        bout.rounds.push(round);
        match next {
            Ok(descent) => {
                bout.descent = descent;
                bout.step = if descent.leaf().is_some() { Step::Operands } else { Step::Ask([None, None]) };
                bout.due = due;
                self.repeat_at = now;
            }
            Err(Misopened { first, second }) => {
                let parties = bout.parties;
                self.end_duel(End::Misopen { first, second });
                for (index, wrong) in parties.into_iter().zip([first, second]) {
                    if wrong {
                        self.lose(index, FaultKind::Equivocate);
                    }
                }
                self.next_duel(now);
            }
        }
    }

    /// The operands are not those of the operation: whoever showed them did not open its trace.
    fn misshown(&mut self, now: Millis, shown_by: usize) {
        let Phase::Settle(bout) = &self.phase else { return };
        self.silence(now, bout.parties.map(|party| party == shown_by));
    }

    /// QUORUM-13: who does not open its trace loses.
    fn silence(&mut self, now: Millis, silent: [bool; 2]) {
        let Phase::Settle(bout) = &self.phase else { return };
        let parties = bout.parties;
        self.end_duel(End::Silence { first: silent[0], second: silent[1] });
        for (index, silent) in parties.into_iter().zip(silent) {
            if silent {
                self.lose(index, FaultKind::Silent);
            }
        }
        self.next_duel(now);
    }

    fn lose(&mut self, index: usize, kind: FaultKind) {
        self.voters[index].out = true;
        self.fault(self.voters[index].rank, kind);
    }

    fn end_duel(&mut self, end: End) {
        let Phase::Settle(bout) = &mut self.phase else { return };
        let [first, second] = bout.parties.map(|index| self.parties[self.voters[index].rank].identity);
        let rounds = std::mem::take(&mut bout.rounds);
        self.dispute.duels.push(Duel { first, second, rounds, end });
    }

    fn next_referee(&mut self, now: Millis, kind: FaultKind) {
        let Phase::Settle(bout) = &self.phase else { return };
        let Step::Judge { operands, batches, shown_by, referee: Some((rank, _)) } = &bout.step else {
            return;
        };
        let (operands, batches, shown_by, rank) = (operands.clone(), Arc::clone(batches), *shown_by, *rank);
        self.fault(rank, kind);
        self.call_referee(now, operands, batches, shown_by);
    }

    // ---- the receipt ----

    fn votes(&self) -> Votes {
        let mut commits: Vec<Signed<Commit>> =
            self.voters.iter().filter_map(|voter| voter.commit.clone()).collect();
        commits.retain(|commit| !self.equivocal.contains(commit));
        commits.extend(self.equivocal.iter().cloned());
        commits.sort_by_key(|commit| self.header.rank(&commit.claimed().node));
        let reveals = self.voters.iter().filter_map(|voter| voter.reveal.clone()).collect();
        Votes { version: VERSION, commits, reveals }
    }

    fn header_evidence(&self) -> Evidence {
        Evidence { kind: EvidenceKind::Header, bytes: self.header.to_bytes() }
    }

    /// Votes, and the dispute when there was one; of members that prove alone the proofs that do not hold.
    fn dispute_evidence(&self) -> Vec<Evidence> {
        if self.header.verification.is_alone() {
            let kind = EvidenceKind::Dispute;
            let shown = Some(&self.false_proofs).filter(|proofs| !proofs.given.is_empty());
            return shown.map(|proofs| Evidence { kind, bytes: proofs.to_bytes() }).into_iter().collect();
        }
        let mut evidence = vec![Evidence { kind: EvidenceKind::Votes, bytes: self.votes().to_bytes() }];
        if !(self.dispute.duels.is_empty() && self.dispute.unbound.is_empty()) {
            evidence.push(Evidence { kind: EvidenceKind::Dispute, bytes: self.dispute.to_bytes() });
        }
        evidence
    }

    /// Claims to be signed by the party of rank `issuer`.
    fn claims(
        &self,
        issuer: usize,
        output: Commitment,
        finished: Millis,
        own: Option<&[Evidence]>,
    ) -> Claims {
        let header = &self.header;
        let name = |evidence: &Evidence| EvidenceDigest {
            kind: evidence.kind,
            digest: evidence.kind.digest(&evidence.bytes),
        };
        let mut evidence = self.evidence.clone();
        evidence.push(name(&self.header_evidence()));
        evidence.extend(own.into_iter().flatten().map(name));
        evidence.sort_by_key(|evidence| evidence.kind);
        let members = header.members();
        let used = |rank: &usize| {
            *rank >= members
                && (*rank == issuer
                    || self.voters.iter().any(|voter| voter.rank == *rank)
                    || self.referees_used.contains(rank)
                    || self.has_fault(*rank))
        };
        Claims {
            version: claims::VERSION,
            job: self.job,
            nonce: header.nonce,
            model: header.model,
            input: header.input,
            output,
            records: header.records,
            policy: header.policy,
            protection_asked: header.protection_asked,
            protection_used: header.protection,
            verification_asked: header.verification_asked,
            verification_used: header.verification,
            committee: header.committee.clone(),
            reserves_used: (0..self.parties.len())
                .filter(used)
                .map(|rank| self.parties[rank].identity)
                .collect(),
            faults: self.faults.clone(),
            evidence,
            issuer: self.parties[issuer].identity,
            environment: self.parties[issuer].environment,
            requested: header.requested,
            finished: finished.clamp(header.requested, header.deadline),
            directory: header.directory,
            log: header.log,
        }
    }

    /// QUORUM-18: the first party without a fault, in draw order, leads; it is one of those that agree.
    fn begin_endorsement(&mut self, now: Millis) {
        let lead = (0..self.voters.len())
            .find(|index| !self.voters[*index].out && !self.has_fault(self.voters[*index].rank));
        let Some(lead) = lead else {
            self.refuse_job(Reason::NoReceipt);
            return;
        };
        let votes = self.votes();
        let dispute =
            Some(&self.dispute).filter(|dispute| !(dispute.duels.is_empty() && dispute.unbound.is_empty()));
        // The same check that the lead and every auditor make.
        let Ok(judgement) = check_dispute(&self.header, &votes, dispute, Some(&self.payload.job_key)) else {
            self.refuse_job(Reason::NoMajority);
            return;
        };
        let evidence = self.dispute_evidence();
        let claims = self.claims(self.voters[lead].rank, judgement.output, now, Some(&evidence));
        let due = now + self.patience.answer_ms;
        self.phase = Phase::Endorse { lead, claims: Box::new(claims), due };
        self.repeat_at = now;
    }

    fn next_lead(&mut self, now: Millis, kind: FaultKind) {
        let Phase::Endorse { lead, .. } = &self.phase else { return };
        self.fault(self.voters[*lead].rank, kind);
        self.begin_endorsement(now);
    }

    // ---- the end ----

    fn refuse_job(&mut self, reason: Reason) {
        let evidence = self.dispute_evidence();
        self.decide(Decision::Refuse(Refused { reason, faults: self.faults.clone(), evidence }));
    }

    fn decide(&mut self, decision: Decision) {
        self.store(DECISION, b"decision", |_| canonical::encode(&decision));
        self.phase = Phase::Decide(Box::new(decision));
    }

    fn stored(&mut self, now: Millis, ticket: Ticket) {
        match ticket {
            PLAN => {
                self.plan_durable = true;
                (0..self.voters.len()).for_each(|index| self.assign(index));
            }
            OPEN if matches!(self.phase, Phase::Fix) => {
                self.phase = Phase::Reveal { due: now + self.patience.answer_ms };
                self.repeat_at = now;
            }
            DECISION => self.finish(),
            Ticket(number) => {
                let rank = number.checked_sub(VOTERS);
                let index = self.voters.iter().position(|voter| Some(voter.rank as u64) == rank);
                let Some(index) = index else { return };
                self.voters[index].durable = true;
                self.voters[index].due = now + self.patience.vote_ms;
                self.assign(index);
            }
        }
    }

    /// Gives a voter the job, once that is durable.
    fn assign(&mut self, index: usize) {
        let voter = &self.voters[index];
        if self.plan_durable && voter.durable && !voter.out && voter.commit.is_none() {
            let assign = Message::Assign(Arc::clone(&voter.assign));
            self.send(voter.rank, assign);
        }
    }

    fn finish(&mut self) {
        let Phase::Decide(decision) = std::mem::replace(&mut self.phase, Phase::Done) else { return };
        for index in 0..self.voters.len() {
            self.send(self.voters[index].rank, Message::Close(self.job));
        }
        self.report(ClientReport::Decide(decision));
    }

    // ---- time ----

    /// Asks, or asks again, whatever is not answered.
    fn ask(&mut self) {
        let mut questions: Vec<(usize, Message)> = Vec::new();
        match &self.phase {
            Phase::Vote if self.plan_durable => {
                let waiting = |voter: &&Voter| !voter.out && voter.is_waited_for() && voter.durable;
                let assign = |voter: &Voter| (voter.rank, Message::Assign(Arc::clone(&voter.assign)));
                questions.extend(self.voters.iter().filter(waiting).map(assign));
            }
            Phase::Reveal { .. } => {
                let open = Open { job: self.job, commits: self.fixed.clone() };
                let waiting = |voter: &&Voter| !voter.out && voter.reveal.is_none();
                let ask = |voter: &Voter| (voter.rank, Message::Open(open.clone()));
                questions.extend(self.voters.iter().filter(waiting).map(ask));
            }
            Phase::Settle(bout) => questions.extend(self.bout_questions(bout)),
            Phase::Endorse { lead, claims, .. } => {
                let mut evidence = self.dispute_evidence().into_iter().map(|evidence| evidence.bytes);
                let endorse = Endorse {
                    job: self.job,
                    claims: Claims::clone(claims),
                    votes: evidence.next().unwrap_or_default(),
                    dispute: evidence.next().unwrap_or_default(),
                };
                questions.push((self.voters[*lead].rank, Message::Endorse(Box::new(endorse))));
            }
            _ => {}
        }
        for (rank, question) in questions {
            self.send(rank, question);
        }
    }

    fn bout_questions(&self, bout: &Bout) -> Vec<(usize, Message)> {
        let job = self.job;
        let rank = |index: usize| self.voters[index].rank;
        match &bout.step {
            Step::Ask(answers) => {
                let position = bout.descent.position;
                let ask = |index: usize| (rank(index), Message::AskBranches(AskBranches { job, position }));
                let silent = bout.parties.iter().zip(answers).filter(|(_, answer)| answer.is_none());
                silent.map(|(index, _)| ask(*index)).collect()
            }
            Step::Operands => {
                let operation = bout.descent.position.start;
                let ask = |index: usize| (rank(index), Message::AskOperands(AskOperands { job, operation }));
                bout.parties.into_iter().map(ask).collect()
            }
            Step::Judge { referee: Some((rank, refer)), .. } => {
                vec![(*rank, Message::Refer(Box::new(refer.clone())))]
            }
            Step::Judge { referee: None, .. } => Vec::new(),
        }
    }

    fn set_clock(&mut self) {
        if matches!(self.phase, Phase::Decide(_) | Phase::Done) {
            return;
        }
        let due = match &self.phase {
            Phase::Vote => {
                let waiting = self.voters.iter().filter(|voter| !voter.out && voter.is_waited_for());
                waiting.map(|voter| voter.due).min()
            }
            Phase::Reveal { due } | Phase::Endorse { due, .. } => Some(*due),
            Phase::Settle(bout) => Some(bout.due),
            _ => None,
        };
        let at = due.unwrap_or(self.header.deadline).min(self.header.deadline).min(self.repeat_at);
        if self.timer != Some(at) {
            self.timer = Some(at);
            self.effects.push_back(ClientEffect::Timer { ticket: CLOCK, at });
        }
    }
}

fn voter_key(rank: usize) -> Vec<u8> {
    format!("voter-{rank:02}").into_bytes()
}

fn read<T>(bytes: &[u8]) -> Option<T>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    canonical::decode(bytes, usize::MAX).ok()
}

fn read_plan(bytes: &[u8]) -> Option<Plan> {
    let PlanRecord { version: _, header, payload, parties, evidence, patience } = read(bytes)?;
    let payload = Payload::decode(&SecretBytes::new(payload)).ok()?;
    let payload = CommittedPayload::committed(payload, header.input);
    Some(Plan { header, payload, parties, evidence, patience })
}

impl<R: CryptoRng> Machine for ClientMachine<R> {
    type Event = ClientEvent;
    type Effect = ClientEffect;

    fn handle(&mut self, now: Millis, event: ClientEvent) {
        if matches!(self.phase, Phase::Done) {
            return;
        }
        match event {
            ClientEvent::Received { from, message } => self.received(now, from, message),
            ClientEvent::Unreachable { peer } => self.unreachable(now, &peer),
            ClientEvent::Stored { ticket } => self.stored(now, ticket),
            ClientEvent::Ran { outcome: ClientDone::Judged(judged), .. } => self.judged(now, judged),
            ClientEvent::Ran { ticket, outcome: ClientDone::Checked(checked) } => {
                self.checked(now, ticket, checked);
            }
            ClientEvent::TimedOut { .. } => self.timer = None,
            ClientEvent::Appended { .. } => {}
        }
        self.advance(now);
    }

    fn poll(&mut self) -> Option<ClientEffect> {
        self.effects.pop_front()
    }
}
