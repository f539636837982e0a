//! The executing side: many jobs at once, each from its assignment to its end.
//!
//! It must (1) vote once a job, even across kill -9; (2) show its vote only after all votes are fixed; (3) answer a
//! repeated question with the same answer; (4) hold a bounded number of jobs, and say so when full; (5) forget by the
//! deadline. For (1) the vote is hidden by a value derived from the node's own secret and the job, and is durable
//! before it is sent: whatever is lost, the same vote comes out again, or none. A result of `signed` is durable before it
//! is sent, too: a node signs one receipt a job.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use minicbor::{Decode, Encode};
use sealgrid_seal::aead::TAG_LENGTH;
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, Digest, labels};
use sealgrid_seal::identity::{PublicIdentity, SigningIdentity};

use super::evidence::{check_against_header, check_claims};
use super::header::{JobHeader, RefereeRule, VERSION};
use super::message::{
    Answer, Assign, Endorse, Exchange, Message, Open, Receipt, Refer, Refusal, RevealMessage, Why,
};
use super::statement::{Branches, Commit, Finding, Reveal, Signed, vote_digest};
use super::work::{Done, Judged, Proven, Run, Work};
use crate::claims::{Claims, EvidenceKind};
use crate::machine::{self, Machine, Millis, Ticket};
use crate::names::{Environment, JobId, Verification};

/// What a node asks its performer to do.
pub type NodeEffect = machine::Effect<Message, Work, NodeReport>;
/// What happens to a node.
pub type NodeEvent = machine::Event<Message, Done, ()>;

/// Who a node is and how much it takes on.
#[derive(Debug)]
pub struct NodeConfig {
    /// Its identity.
    pub identity: SigningIdentity,
    /// What it runs in, as the directory lists it.
    pub environment: Environment,
    /// Bounds.
    pub limits: NodeBounds,
}

/// Bounds of a node's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeBounds {
    /// Jobs at a time.
    pub jobs_max: usize,
    /// Jobs at a time of one client.
    pub jobs_per_client_max: usize,
    /// Operations refereed at a time.
    pub referees_max: usize,
    /// Ended jobs that are remembered until their deadline, so that they are not taken again.
    pub ended_max: usize,
    /// How far a client's clock may be ahead, milliseconds.
    pub skew_ms_max: Millis,
}

impl Default for NodeBounds {
    fn default() -> Self {
        Self {
            jobs_max: 1024,
            jobs_per_client_max: 256,
            referees_max: 16,
            ended_max: 1 << 18,
            skew_ms_max: 30_000,
        }
    }
}

/// What a node tells its operator: no content, only what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeReport {
    /// A job was taken.
    Take {
        /// The job.
        job: JobId,
        /// How it is verified.
        verification: Verification,
    },
    /// Its vote is durable and sent.
    Vote(JobId),
    /// Its result was sent with a receipt (`signed`, `proof`), or a receipt was signed for its committee.
    Sign(JobId),
    /// A question was refused.
    Refuse {
        /// By whom it was asked.
        peer: PublicIdentity,
        /// About which job, which question, and why.
        refusal: Refusal,
    },
    /// A job ended by its client's word or its deadline.
    Forget(JobId),
}

/// What is durable of a job.
#[derive(Encode, Decode)]
#[expect(clippy::large_enum_variant, reason = "encoded or taken apart at once, never kept")]
enum Record {
    #[n(0)]
    Vote {
        #[n(0)]
        version: u16,
        #[n(1)]
        assign: Assign,
        #[n(2)]
        output: Commitment,
        #[n(3)]
        trace: Commitment,
    },
    /// `signed` and `proof`: all that is needed to give the same answer to the same assignment.
    #[n(2)]
    Answer {
        #[n(0)]
        version: u16,
        #[n(1)]
        client: PublicIdentity,
        #[n(2)]
        deadline: Millis,
        #[n(3)]
        assignment: Digest,
        #[n(4)]
        answer: Answer,
    },
    #[n(1)]
    Ended {
        #[n(0)]
        version: u16,
        #[n(1)]
        deadline: Millis,
    },
}

/// A vote before it is hidden.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Vote {
    output: Commitment,
    trace: Commitment,
}

enum State {
    /// Running for the first time.
    Execute,
    /// `signed` and `proof`: running, and what the result will complete.
    Sign(Box<Draft>),
    /// The vote is being made durable.
    Store(Vote),
    /// The vote is sent.
    Voted(Vote),
    /// `signed` and `proof`: the result is being made durable.
    StoreAnswer(Box<Answer>),
    /// `signed` and `proof`: the result is sent.
    Answered(Box<Answer>),
}

/// What a receipt is made of, but for output and time.
struct Draft {
    header: JobHeader,
    claims: Claims,
}

struct Entry {
    client: PublicIdentity,
    deadline: Millis,
    /// `None` for `signed` and `proof`: nothing is run again, and the payload is the work's alone, to be opened where it lies.
    assign: Option<Arc<Assign>>,
    digest: Digest,
    state: State,
    /// What is known of the run; lost in a crash and made again when a question needs it.
    run: Option<Box<Run>>,
    /// Running, to make `run` again.
    rerunning: bool,
    /// Questions that wait for `run`, at most one an exchange.
    waiting: Vec<Message>,
    /// The operation whose operands are being collected.
    collecting: Option<u32>,
}

enum Pending {
    Execute(JobId),
    Operands(JobId),
    Referee { job: JobId, client: PublicIdentity, operation: u32 },
    Store(JobId),
}

impl Entry {
    fn begun(assign: &Arc<Assign>) -> Self {
        match assign.draft.clone() {
            None => Self { assign: Some(Arc::clone(assign)), ..Self::new(assign, State::Execute) },
            Some(claims) => {
                let draft = Draft { header: assign.header.clone(), claims };
                Self::new(assign, State::Sign(Box::new(draft)))
            }
        }
    }

    fn voted(assign: Assign, vote: Vote) -> Self {
        let entry = Self::new(&assign, State::Voted(vote));
        Self { assign: Some(Arc::new(assign)), ..entry }
    }

    fn new(assign: &Assign, state: State) -> Self {
        Self {
            client: assign.header.client,
            deadline: assign.header.deadline,
            digest: assignment_digest(assign),
            assign: None,
            state,
            run: None,
            rerunning: false,
            waiting: Vec::new(),
            collecting: None,
        }
    }

    fn answered(client: PublicIdentity, deadline: Millis, digest: Digest, answer: Answer) -> Self {
        let state = State::Answered(Box::new(answer));
        let (run, waiting) = (None, Vec::new());
        Self {
            client,
            deadline,
            assign: None,
            digest,
            state,
            run,
            rerunning: false,
            waiting,
            collecting: None,
        }
    }

    /// The assignment of a quorum's job.
    fn assign(&self) -> &Arc<Assign> {
        self.assign.as_ref().expect("asked for a job that votes, never where one answers alone")
    }
}

const EXPIRY: Ticket = Ticket(0);

/// The node's machine.
pub struct NodeMachine {
    config: NodeConfig,
    public: PublicIdentity,
    jobs: HashMap<JobId, Entry>,
    ended: HashMap<JobId, Millis>,
    deadlines: BTreeSet<(Millis, JobId)>,
    per_client: HashMap<PublicIdentity, usize>,
    answered: VecDeque<JobId>,
    pending: HashMap<Ticket, Pending>,
    referees: usize,
    next_ticket: u64,
    timer: Option<Millis>,
    effects: VecDeque<NodeEffect>,
}

impl NodeMachine {
    /// A node, with what its store held under each key when it started. Records that cannot be read, or are over at
    /// `now`, are deleted.
    #[must_use]
    pub fn new(
        config: NodeConfig,
        now: Millis,
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Self {
        let mut machine = Self {
            public: config.identity.public(),
            config,
            jobs: HashMap::new(),
            ended: HashMap::new(),
            deadlines: BTreeSet::new(),
            per_client: HashMap::new(),
            answered: VecDeque::new(),
            pending: HashMap::new(),
            referees: 0,
            next_ticket: 1,
            timer: None,
            effects: VecDeque::new(),
        };
        for (key, value) in records {
            if machine.restore(&key, &value).is_none() {
                let ticket = machine.ticket();
                machine.effects.push_back(NodeEffect::Store { ticket, key, value: None });
            }
        }
        machine.expire(now);
        machine
    }

    /// Jobs that are not over.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// Whether `job` is not over. What is stored of one that is over, nothing depends on.
    #[must_use]
    pub fn holds(&self, job: &JobId) -> bool {
        self.jobs.contains_key(job)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        let job = JobId(Digest(key.try_into().ok()?));
        match canonical::decode(value, Exchange::Assign.bytes_max()).ok()? {
            Record::Vote { version: VERSION, assign, output, trace } if assign.header.id() == job => {
                self.insert(job, Entry::voted(assign, Vote { output, trace }));
            }
            Record::Answer { version: VERSION, client, deadline, assignment, answer }
                if answer.job == job =>
            {
                self.insert(job, Entry::answered(client, deadline, assignment, answer));
                self.answered.push_back(job);
            }
            Record::Ended { version: VERSION, deadline } => {
                self.ended.insert(job, deadline);
                self.deadlines.insert((deadline, job));
            }
            _ => return None,
        }
        Some(())
    }

    fn insert(&mut self, job: JobId, entry: Entry) {
        *self.per_client.entry(entry.client).or_default() += 1;
        self.deadlines.insert((entry.deadline, job));
        self.jobs.insert(job, entry);
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    fn send(&mut self, to: PublicIdentity, message: Message) {
        self.effects.push_back(NodeEffect::Send { to, message });
    }

    fn refuse(&mut self, to: PublicIdentity, job: JobId, exchange: Exchange, why: Why) {
        let refusal = Refusal { job, exchange, why };
        self.effects.push_back(NodeEffect::Report(NodeReport::Refuse { peer: to, refusal }));
        self.send(to, Message::Refuse(refusal));
    }

    fn run(&mut self, work: Work, pending: Pending) {
        let ticket = self.ticket();
        self.pending.insert(ticket, pending);
        self.effects.push_back(NodeEffect::Run { ticket, work });
    }

    fn store(&mut self, job: JobId, record: Option<&Record>) -> Ticket {
        let ticket = self.ticket();
        let value = record.map(canonical::encode);
        self.effects.push_back(NodeEffect::Store { ticket, key: job.0.0.to_vec(), value });
        ticket
    }

    // ---- questions ----

    fn received(&mut self, now: Millis, from: PublicIdentity, message: Message) {
        let (job, exchange) = (message.job(), message.exchange());
        let outcome = match message {
            Message::Assign(assign) => self.assign(now, from, job, assign),
            Message::Refer(refer) => self.refer(now, from, job, *refer),
            Message::Close(_) => self.close(from, job),
            question if question.is_question() => self.question(now, from, job, question),
            _ => return, // an answer: this machine asks nothing
        };
        if let Err(why) = outcome {
            self.refuse(from, job, exchange, why);
        }
    }

    fn assign(
        &mut self,
        now: Millis,
        from: PublicIdentity,
        job: JobId,
        assign: Arc<Assign>,
    ) -> Result<(), Why> {
        self.check_header(now, from, &assign.header)?;
        if self.ended.contains_key(&job) {
            return Err(Why::Replayed); // JOB-10
        }
        if let Some(entry) = self.jobs.get(&job) {
            if entry.digest != assignment_digest(&assign) {
                return Err(Why::Replayed); // JOB-10
            }
            self.answer_assignment(job);
            return Ok(());
        }
        self.check_draft(&assign)?;
        self.make_place(from)?;
        let verification = assign.header.verification;
        self.insert(job, Entry::begun(&assign));
        self.effects.push_back(NodeEffect::Report(NodeReport::Take { job, verification }));
        self.run(Work::Execute(assign), Pending::Execute(job));
        Ok(())
    }

    fn check_header(&self, now: Millis, from: PublicIdentity, header: &JobHeader) -> Result<(), Why> {
        header.check().map_err(|_| Why::Malformed)?;
        if header.client != from {
            return Err(Why::OtherClient); // JOB-09
        }
        if header.rank(&self.public).is_none() {
            return Err(Why::NotAParty);
        }
        if now >= header.deadline || header.requested > now.saturating_add(self.config.limits.skew_ms_max) {
            return Err(Why::Expired); // JOB-12
        }
        Ok(())
    }

    /// A draft comes where one answers alone and only there, names this node, repeats the header, and has no proof yet.
    fn check_draft(&self, assign: &Assign) -> Result<(), Why> {
        match (&assign.draft, assign.header.verification) {
            (None, Verification::Quorum { .. }) => Ok(()),
            (Some(draft), Verification::Signed | Verification::Proof) => {
                let named = draft.issuer == self.public && draft.environment == self.config.environment;
                let header = EvidenceKind::Header.digest(&assign.header.to_bytes());
                let consistent = check_against_header(&assign.header, draft).is_ok()
                    && draft.evidence(EvidenceKind::Header) == Some(header)
                    && draft.evidence(EvidenceKind::Proof).is_none();
                if named && consistent { Ok(()) } else { Err(Why::BadClaims) }
            }
            _ => Err(Why::Malformed),
        }
    }

    fn make_place(&mut self, client: PublicIdentity) -> Result<(), Why> {
        let limits = self.config.limits;
        if self.per_client.get(&client).copied().unwrap_or(0) >= limits.jobs_per_client_max
            || self.jobs.len() >= limits.jobs_max
        {
            // A result of one who answers alone that was sent is kept only so that it can be sent again.
            let oldest = self.answered.pop_front().ok_or(Why::Busy)?;
            self.end(oldest);
        }
        let room = self.per_client.get(&client).copied().unwrap_or(0) < limits.jobs_per_client_max
            && self.jobs.len() < limits.jobs_max
            && self.ended.len() + self.jobs.len() < limits.ended_max;
        if room { Ok(()) } else { Err(Why::Busy) }
    }

    fn answer_assignment(&mut self, job: JobId) {
        let entry = &self.jobs[&job];
        let client = entry.client;
        match &entry.state {
            // It will be answered.
            State::Execute | State::Sign(_) | State::Store(_) | State::StoreAnswer(_) => {}
            State::Voted(vote) => {
                let commit = self.commit(job, *vote);
                self.send(client, Message::Commit(commit));
            }
            State::Answered(answer) => {
                let answer = Message::Answer((**answer).clone());
                self.send(client, answer);
            }
        }
    }

    /// QUORUM-02: derived from the node's secret and the job, so that it is hidden, and the same after a crash.
    fn blinding(&self, job: JobId) -> [u8; 32] {
        Commitment::of(&self.config.identity.seed(), labels::QUORUM_BLINDING, &[&job.0.0]).0
    }

    fn commit(&self, job: JobId, vote: Vote) -> Signed<Commit> {
        let node = self.public;
        let digest = vote_digest(job, &node, &vote.output, &vote.trace, &self.blinding(job));
        Signed::sign(&self.config.identity, Commit { job, node, digest })
    }

    fn question(
        &mut self,
        now: Millis,
        from: PublicIdentity,
        job: JobId,
        question: Message,
    ) -> Result<(), Why> {
        let Some(entry) = self.jobs.get_mut(&job) else {
            return Err(if self.ended.contains_key(&job) { Why::Replayed } else { Why::UnknownJob });
        };
        if entry.client != from {
            return Err(Why::OtherClient); // JOB-09
        }
        let State::Voted(vote) = entry.state else { return Err(Why::UnknownJob) };
        if let Message::AskOperands(ask) = question {
            return self.collect(job, ask.operation);
        }
        if entry.run.is_some() {
            let answer = self.answer(now, job, vote, question)?;
            self.send(from, answer);
            return Ok(());
        }
        entry.waiting.retain(|other| other.exchange() != question.exchange());
        entry.waiting.push(question);
        if !std::mem::replace(&mut entry.rerunning, true) {
            let assign = Arc::clone(entry.assign());
            self.run(Work::Execute(assign), Pending::Execute(job));
        }
        Ok(())
    }

    /// The answer to a question, from a run that is at hand.
    fn answer(&self, now: Millis, job: JobId, vote: Vote, question: Message) -> Result<Message, Why> {
        let entry = &self.jobs[&job];
        let run = entry.run.as_deref().expect("the caller has a run at hand");
        match question {
            Message::Open(open) => self.reveal(job, vote, entry, run, &open),
            Message::AskBranches(ask) => {
                let opening = run.tree.open(ask.position).ok_or(Why::BadQuestion)?;
                let branches = Branches { job, node: self.public, position: ask.position, opening };
                Ok(Message::Branches(Signed::sign(&self.config.identity, branches)))
            }
            Message::Endorse(endorse) => self.endorse(now, job, vote, entry, run, &endorse),
            _ => Err(Why::BadQuestion),
        }
    }

    /// QUORUM-05: shows the vote only among votes of parties, with its own, one of each.
    fn reveal(&self, job: JobId, vote: Vote, entry: &Entry, run: &Run, open: &Open) -> Result<Message, Why> {
        let header = &entry.assign().header;
        let own = self.commit(job, vote);
        let ranks: Option<Vec<usize>> =
            open.commits.iter().map(|commit| header.rank(&commit.claimed().node)).collect();
        let distinct = ranks.is_some_and(|ranks| ranks.is_sorted_by(|a, b| a < b));
        let signed = open
            .commits
            .iter()
            .filter(|commit| **commit != own)
            .all(|commit| commit.verify_from(&commit.claimed().node, job).is_ok());
        let enough = open.commits.len() >= header.majority() && open.commits.len() <= header.members();
        if !(distinct && signed && enough && open.commits.contains(&own)) {
            return Err(Why::BadVotes);
        }
        let reveal = Reveal {
            job,
            node: self.public,
            output: vote.output,
            trace: vote.trace,
            blinding: self.blinding(job),
            outputs: run.outputs.clone(),
        };
        let reveal = Signed::sign(&self.config.identity, reveal);
        Ok(Message::Reveal(RevealMessage { reveal, output: run.sealed.clone() }))
    }

    /// QUORUM-18: signs claims only when they follow from the evidence and agree with its own vote.
    fn endorse(
        &self,
        now: Millis,
        job: JobId,
        vote: Vote,
        entry: &Entry,
        run: &Run,
        endorse: &Endorse,
    ) -> Result<Message, Why> {
        let claims = &endorse.claims;
        let header = &entry.assign().header;
        let judgement = check_claims(header, claims, &endorse.votes, &endorse.dispute, Some(&run.key))
            .map_err(|_| Why::BadClaims)?;
        let own_vote = (judgement.output, judgement.trace) == (vote.output, vote.trace);
        let in_time = claims.finished <= now.saturating_add(self.config.limits.skew_ms_max);
        if !own_vote || !in_time || claims.environment != self.config.environment {
            return Err(Why::BadClaims);
        }
        let receipt = claims.sign(&self.config.identity).map_err(|_| Why::BadClaims)?;
        Ok(Message::Receipt(Receipt { job, receipt: receipt.as_bytes().to_vec() }))
    }

    fn collect(&mut self, job: JobId, operation: u32) -> Result<(), Why> {
        let entry = self.jobs.get_mut(&job).expect("the caller knows the job");
        if operation >= entry.assign().header.shape.operations {
            return Err(Why::BadQuestion);
        }
        match entry.collecting {
            Some(running) if running == operation => return Ok(()), // it will be answered
            Some(_) => return Err(Why::Busy),
            None => entry.collecting = Some(operation),
        }
        let assign = Arc::clone(entry.assign());
        self.run(Work::Operands(assign, operation), Pending::Operands(job));
        Ok(())
    }

    fn refer(&mut self, now: Millis, from: PublicIdentity, job: JobId, refer: Refer) -> Result<(), Why> {
        self.check_header(now, from, &refer.header)?;
        let is_reserve = refer.header.reserves.contains(&self.public);
        // QUORUM-14: who voted does not judge.
        if !is_reserve || self.jobs.contains_key(&job) || refer.header.referee != RefereeRule::Reserve {
            return Err(Why::NotAParty);
        }
        if refer.operation >= refer.header.shape.operations {
            return Err(Why::BadQuestion);
        }
        if self.referees >= self.config.limits.referees_max {
            return Err(Why::Busy);
        }
        self.referees += 1;
        let pending = Pending::Referee { job, client: from, operation: refer.operation };
        self.run(Work::Referee(Arc::new(refer)), pending);
        Ok(())
    }

    fn close(&mut self, from: PublicIdentity, job: JobId) -> Result<(), Why> {
        if self.jobs.get(&job).is_some_and(|entry| entry.client == from) {
            self.end(job);
        }
        Ok(())
    }

    /// Forgets all of a job but that it was taken. Dropping the run wipes the job key.
    fn end(&mut self, job: JobId) {
        let Some(entry) = self.forget(job) else { return };
        let deadline = entry.deadline;
        self.ended.insert(job, deadline);
        self.deadlines.insert((deadline, job));
        self.store(job, Some(&Record::Ended { version: VERSION, deadline }));
    }

    fn forget(&mut self, job: JobId) -> Option<Entry> {
        let entry = self.jobs.remove(&job)?;
        self.deadlines.remove(&(entry.deadline, job));
        if let Some(count) = self.per_client.get_mut(&entry.client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&entry.client);
            }
        }
        self.answered.retain(|answered| *answered != job);
        self.effects.push_back(NodeEffect::Report(NodeReport::Forget(job)));
        Some(entry)
    }

    // ---- completions ----

    fn ran(&mut self, now: Millis, ticket: Ticket, done: Done) {
        match self.pending.remove(&ticket) {
            Some(Pending::Execute(job)) => self.executed(now, job, done),
            Some(Pending::Operands(job)) => self.collected(job, done),
            Some(Pending::Referee { job, client, operation }) => self.judged(job, client, operation, done),
            Some(Pending::Store(_)) | None => {}
        }
    }

    fn executed(&mut self, now: Millis, job: JobId, done: Done) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.rerunning = false;
        let client = entry.client;
        let waiting = std::mem::take(&mut entry.waiting);
        let outcome = match (&entry.state, done) {
            (State::Execute, Done::Executed(run)) => {
                self.first_run(job, run);
                Ok(())
            }
            (State::Sign(draft), Done::Executed(run)) => {
                let claims = draft.complete(run.output, now, None);
                self.sign(job, &claims, run.sealed, None)
            }
            (State::Sign(draft), Done::Proven(proven)) => {
                let Proven { output, proof, sealed } = *proven;
                let claims = draft.complete(output, now, Some(&proof));
                self.sign(job, &claims, sealed, Some(proof))
            }
            (State::Voted(vote), Done::Executed(run)) => {
                let vote = *vote;
                self.another_run(now, job, vote, run, &waiting)
            }
            (_, Done::Refuse(why)) => Err(why),
            _ => Err(Why::Failed),
        };
        let Err(why) = outcome else { return };
        match self.jobs[&job].state {
            State::Execute | State::Sign(_) => {
                self.forget(job);
                self.refuse(client, job, Exchange::Assign, why);
            }
            _ => waiting.iter().for_each(|question| self.refuse(client, job, question.exchange(), why)),
        }
    }

    /// One who answers alone signs; what it says is durable before it is said.
    fn sign(
        &mut self,
        job: JobId,
        claims: &Claims,
        output: Vec<u8>,
        proof: Option<Vec<u8>>,
    ) -> Result<(), Why> {
        let receipt = claims.sign(&self.config.identity).map_err(|_| Why::BadClaims)?;
        let answer = Answer { job, receipt: receipt.as_bytes().to_vec(), output, proof };
        let entry = self.jobs.get_mut(&job).expect("the caller knows the job");
        let record = Record::Answer {
            version: VERSION,
            client: entry.client,
            deadline: entry.deadline,
            assignment: entry.digest,
            answer: answer.clone(),
        };
        entry.state = State::StoreAnswer(Box::new(answer));
        // The time in the receipt is this run's: signed and sent twice it would be two receipts of one job.
        let ticket = self.store(job, Some(&record));
        self.pending.insert(ticket, Pending::Store(job));
        Ok(())
    }

    fn first_run(&mut self, job: JobId, run: Box<Run>) {
        let vote = Vote { output: run.output, trace: run.tree.root() };
        let entry = self.jobs.get_mut(&job).expect("the caller knows the job");
        entry.run = Some(run);
        entry.state = State::Store(vote);
        let assign = Assign::clone(entry.assign());
        let record = Record::Vote { version: VERSION, assign, output: vote.output, trace: vote.trace };
        let ticket = self.store(job, Some(&record));
        self.pending.insert(ticket, Pending::Store(job));
    }

    /// After a crash: the run must be the one that was voted for, else the machine itself is faulty and stays silent
    /// rather than contradict itself.
    fn another_run(
        &mut self,
        now: Millis,
        job: JobId,
        vote: Vote,
        run: Box<Run>,
        waiting: &[Message],
    ) -> Result<(), Why> {
        if (Vote { output: run.output, trace: run.tree.root() }) != vote {
            return Err(Why::Failed);
        }
        let entry = self.jobs.get_mut(&job).expect("the caller knows the job");
        entry.run = Some(run);
        let client = entry.client;
        for question in waiting {
            match self.answer(now, job, vote, question.clone()) {
                Ok(answer) => self.send(client, answer),
                Err(why) => self.refuse(client, job, question.exchange(), why),
            }
        }
        Ok(())
    }

    fn collected(&mut self, job: JobId, done: Done) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        entry.collecting = None;
        let client = entry.client;
        match (&entry.state, done) {
            (State::Voted(vote), Done::Operands(operands, root)) if root == vote.trace => {
                self.send(client, Message::Operands(*operands));
            }
            (_, Done::Refuse(why)) => self.refuse(client, job, Exchange::Operands, why),
            _ => self.refuse(client, job, Exchange::Operands, Why::Failed),
        }
    }

    fn judged(&mut self, job: JobId, client: PublicIdentity, operation: u32, done: Done) {
        self.referees -= 1;
        match done {
            Done::Judged(Judged { operands, leaf }) => {
                let finding = Finding { job, node: self.public, operation, operands, leaf };
                let finding = Signed::sign(&self.config.identity, finding);
                self.send(client, Message::Finding(finding));
            }
            Done::Refuse(why) => self.refuse(client, job, Exchange::Refer, why),
            _ => self.refuse(client, job, Exchange::Refer, Why::Failed),
        }
    }

    fn stored(&mut self, ticket: Ticket) {
        let Some(Pending::Store(job)) = self.pending.remove(&ticket) else { return };
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        match std::mem::replace(&mut entry.state, State::Execute) {
            State::Store(vote) => {
                entry.state = State::Voted(vote);
                self.effects.push_back(NodeEffect::Report(NodeReport::Vote(job)));
            }
            State::StoreAnswer(answer) => {
                entry.state = State::Answered(answer);
                self.answered.push_back(job);
                self.effects.push_back(NodeEffect::Report(NodeReport::Sign(job)));
            }
            other => {
                entry.state = other;
                return;
            }
        }
        self.answer_assignment(job);
    }

    fn expire(&mut self, now: Millis) {
        while let Some((deadline, job)) = self.deadlines.first().copied()
            && deadline <= now
        {
            self.deadlines.remove(&(deadline, job));
            self.ended.remove(&job);
            self.forget(job);
            self.store(job, None);
        }
        let next = self.deadlines.first().map(|(deadline, _)| *deadline);
        if next != self.timer
            && let Some(at) = next
        {
            self.effects.push_back(NodeEffect::Timer { ticket: EXPIRY, at });
        }
        self.timer = next;
    }
}

/// Tells one assignment of a job from another. Of a ciphertext the length and the tag stand for the whole, so that a
/// mebibyte is not hashed once more: another one with the same tag can be made only by who knows its key, the job's own
/// client, and all it gets for it is the answer to its first question.
fn assignment_digest(assign: &Assign) -> Digest {
    let Assign { header, payload, draft } = assign;
    let ciphertext = &payload.ciphertext;
    let tag = &ciphertext[ciphertext.len().saturating_sub(TAG_LENGTH)..];
    let length = (ciphertext.len() as u64).to_le_bytes();
    let parts: [&[u8]; 6] = [
        b"assignment",
        &header.to_bytes(),
        &payload.encapsulation.0[..],
        &length,
        tag,
        &canonical::encode(draft),
    ];
    Digest::of(labels::JOB_ID, &parts)
}

impl Draft {
    /// The claims of a job with one member.
    fn complete(&self, output: Commitment, now: Millis, proof: Option<&[u8]>) -> Claims {
        let finished = now.clamp(self.header.requested, self.header.deadline);
        self.claims.completed(output, finished, proof)
    }
}

impl Machine for NodeMachine {
    type Event = NodeEvent;
    type Effect = NodeEffect;

    fn handle(&mut self, now: Millis, event: NodeEvent) {
        match event {
            NodeEvent::Received { from, message } => self.received(now, from, message),
            NodeEvent::Ran { ticket, outcome } => self.ran(now, ticket, outcome),
            NodeEvent::Stored { ticket } => self.stored(ticket),
            NodeEvent::TimedOut { .. } => self.timer = None,
            NodeEvent::Unreachable { .. } | NodeEvent::Appended { .. } => {}
        }
        self.expire(now);
    }

    fn poll(&mut self) -> Option<NodeEffect> {
        self.effects.pop_front()
    }
}
