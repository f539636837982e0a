//! What convinces others: votes and disputes as bytes, and the pure checks that a lead, an auditor and the offline
//! verifier run over them.
//!
//! Three depths of checking, each stated in [`Judgement::assumed`]:
//! 1. *Without the job key*: signatures, votes against commits, every step of a bisection by comparing the signed
//!    answers, the finding against the leaves. That an answer hashes to its parent is not visible: commitments are keyed.
//! 2. *With the job key* (the lead has it; the owner may give it to an auditor): also every hash, so a party that
//!    opened something else than it had committed to is proven, and outputs are shown to stand in traces.
//! 3. Neither shows plaintext, so which leaf is the true one is the referee's word. A dishonest referee can let the liar
//!    of one dispute win; it cannot invent votes, cannot name a party that agrees with the survivors, and the survivors
//!    must still be a majority. `referee = client` removes it: the client then harms nobody but itself. An auditor with
//!    the key, the model and the operands repeats the finding.

use minicbor::{Decode, Encode};
use sealgrid_graph::proving::Verifier;
use sealgrid_graph::trace::{Opening, Position};
use sealgrid_seal::canonical;
use sealgrid_seal::digest::{Commitment, CommitmentKey};
use sealgrid_seal::identity::PublicIdentity;

use super::header::{JobHeader, RefereeRule, VERSION};
use super::message::{DISPUTE_BYTES_MAX, FALSE_PROOFS_BYTES_MAX, OperandLeaf, VOTES_BYTES_MAX};
use super::statement::{Branches, Commit, Finding, Reveal, Signed};
use super::work::{Unusable, check_operand, check_outputs};
use crate::claims::{Claims, EvidenceKind, Fault, FaultKind, SignedClaims};
use crate::names::JobId;

/// Commits and reveals of a committee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Votes {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// In draw order; two of one party are proof against it.
    #[n(1)]
    pub commits: Vec<Signed<Commit>>,
    /// In draw order.
    #[n(2)]
    pub reveals: Vec<Signed<Reveal>>,
}

/// How the votes came to differ.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Dispute {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Votes whose output does not stand in their trace.
    #[n(1)]
    pub unbound: Vec<Unbound>,
    /// Bisections, in the order in which they were held.
    #[n(2)]
    pub duels: Vec<Duel>,
}

/// A vote whose output does not stand in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Unbound {
    /// Who voted so.
    #[n(0)]
    pub node: PublicIdentity,
    /// The operation whose output it told in two ways.
    #[n(1)]
    pub operation: u32,
}

/// One bisection between one party of each of two classes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Duel {
    /// One party.
    #[n(0)]
    pub first: PublicIdentity,
    /// The other.
    #[n(1)]
    pub second: PublicIdentity,
    /// Both answers of each step, from the root down.
    #[n(2)]
    pub rounds: Vec<Round>,
    /// How it ended.
    #[n(3)]
    pub end: End,
}

/// Both parties' answers to one question.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Round {
    /// Of the first.
    #[n(0)]
    pub first: Signed<Branches>,
    /// Of the second.
    #[n(1)]
    pub second: Signed<Branches>,
}

/// How a bisection ended.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[expect(clippy::large_enum_variant, reason = "one a dispute, and most are the large one")]
pub enum End {
    /// At one operation, settled by a referee.
    #[n(0)]
    Settle {
        /// The operands that both agree on.
        #[n(0)]
        operands: Vec<OperandLeaf>,
        /// What the referee found.
        #[n(1)]
        finding: Signed<Finding>,
    },
    /// The last round's answers of these do not hash to what they open.
    #[n(1)]
    Misopen {
        /// The first's.
        #[n(0)]
        first: bool,
        /// The second's.
        #[n(1)]
        second: bool,
    },
    /// These did not answer in time. The client's word.
    #[n(2)]
    Silence {
        /// The first.
        #[n(0)]
        first: bool,
        /// The second.
        #[n(1)]
        second: bool,
    },
}

/// Proofs that do not hold, of members that were replaced for them, in draw order: dispute evidence where one member proves the
/// job (QUORUM-21).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FalseProofs {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// One a member.
    #[n(1)]
    pub given: Vec<FalseProof>,
}

/// A proof that does not hold, and what its maker signed with it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FalseProof {
    /// The receipt that it answered with; names the proof by its digest.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// The proof.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub proof: Vec<u8>,
}

/// Parties with one and the same vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The output.
    pub output: Commitment,
    /// The trace.
    pub trace: Commitment,
    /// Who voted so, in draw order.
    pub members: Vec<PublicIdentity>,
}

/// Votes, counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Classes, in the draw order of their first members.
    pub classes: Vec<Class>,
    /// Parties whose own signatures contradict each other.
    pub equivocators: Vec<PublicIdentity>,
}

/// What follows from the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The output that was accepted.
    pub output: Commitment,
    /// Its trace.
    pub trace: Commitment,
    /// Who stands behind it, in draw order.
    pub survivors: Vec<PublicIdentity>,
    /// Faults that follow, in the order found.
    pub faults: Vec<Fault>,
    /// On whose word they follow, where not on signatures and hashes alone.
    pub assumed: Vec<Assumption>,
}

/// Something that the evidence does not show by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Assumption {
    /// That this referee ran the operation rightly.
    Referee(PublicIdentity),
    /// That the client tells the truth about this party's silence.
    Client(PublicIdentity),
    /// That hashes under the job key are as stated about this party; shown when the key is given.
    Key(PublicIdentity),
}

/// Why evidence does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Not evidence in canonical form.
    #[error("{0} cannot be read")]
    Unreadable(&'static str),
    /// The votes break a rule.
    #[error("votes break {rule}: {what}")]
    Votes {
        /// `QUORUM-NN`.
        rule: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// The dispute breaks a rule.
    #[error("dispute breaks {rule}: {what}")]
    Dispute {
        /// `QUORUM-NN`.
        rule: &'static str,
        /// What is wrong.
        what: &'static str,
    },
    /// Fewer equal votes than the job needs.
    #[error("{equal} equal votes survive where {needed} are needed")]
    NoMajority {
        /// Members of the surviving class.
        equal: usize,
        /// `floor(K / 2) + 1`.
        needed: usize,
    },
    /// The claims say something else than header and evidence.
    #[error("claims differ from the evidence in {0}")]
    Claims(&'static str),
}

impl EvidenceError {
    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "E-QRM-13",
            Self::Votes { .. } => "E-QRM-14",
            Self::Dispute { .. } => "E-QRM-15",
            Self::Claims(_) => "E-QRM-16",
            Self::NoMajority { .. } => "E-QRM-20",
        }
    }
}

fn votes(holds: bool, rule: &'static str, what: &'static str) -> Result<(), EvidenceError> {
    if holds { Ok(()) } else { Err(EvidenceError::Votes { rule, what }) }
}

fn dispute(holds: bool, rule: &'static str, what: &'static str) -> Result<(), EvidenceError> {
    if holds { Ok(()) } else { Err(EvidenceError::Dispute { rule, what }) }
}

impl Votes {
    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads votes; nothing of them is believed yet.
    ///
    /// # Errors
    /// [`EvidenceError::Unreadable`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let read: Self =
            canonical::decode(bytes, VOTES_BYTES_MAX).map_err(|_| EvidenceError::Unreadable("votes"))?;
        if read.version == VERSION { Ok(read) } else { Err(EvidenceError::Unreadable("votes")) }
    }
}

impl Dispute {
    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads a dispute; nothing of it is believed yet.
    ///
    /// # Errors
    /// [`EvidenceError::Unreadable`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let read: Self =
            canonical::decode(bytes, DISPUTE_BYTES_MAX).map_err(|_| EvidenceError::Unreadable("dispute"))?;
        if read.version == VERSION { Ok(read) } else { Err(EvidenceError::Unreadable("dispute")) }
    }

    fn empty() -> Self {
        Self { version: VERSION, unbound: Vec::new(), duels: Vec::new() }
    }
}

impl FalseProofs {
    /// None yet.
    #[must_use]
    pub const fn none() -> Self {
        Self { version: VERSION, given: Vec::new() }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// Reads false proofs; nothing of it is believed yet.
    ///
    /// # Errors
    /// [`EvidenceError::Unreadable`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EvidenceError> {
        const WHAT: &str = "false proofs";
        let read: Self =
            canonical::decode(bytes, FALSE_PROOFS_BYTES_MAX).map_err(|_| EvidenceError::Unreadable(WHAT))?;
        if read.version == VERSION { Ok(read) } else { Err(EvidenceError::Unreadable(WHAT)) }
    }

    /// Adds one, where it still fits.
    pub(super) fn add(&mut self, given: FalseProof) {
        // Heads of CBOR: five bytes for each string, and some for the list.
        const HEADS: usize = 16;
        let bytes = |one: &FalseProof| one.receipt.len() + one.proof.len() + HEADS;
        if self.given.iter().chain([&given]).map(bytes).sum::<usize>() + HEADS <= FALSE_PROOFS_BYTES_MAX {
            self.given.push(given);
        }
    }

    /// Checks, for anybody, that each was signed for under the job of `claims` by a party that they name for it, and does not
    /// hold; yields who gave them. `verifier` is the model's.
    ///
    /// # Errors
    /// [`EvidenceError::Dispute`]: above all when a proof holds, which makes the accusation false.
    pub fn check(
        &self,
        claims: &Claims,
        verifier: &dyn Verifier,
    ) -> Result<Vec<PublicIdentity>, EvidenceError> {
        const RULE: &str = "QUORUM-21";
        let mut named = claims
            .committee
            .iter()
            .chain(&claims.reserves_used)
            .filter(|node| claims.faults.contains(&Fault { node: **node, kind: FaultKind::BadProof }));
        let check = |FalseProof { receipt, proof }: &FalseProof| {
            let signed = SignedClaims::from_bytes(receipt.clone()).verify();
            let signed = signed.ok().filter(|signed| signed.same_question(claims));
            dispute(signed.is_some(), RULE, "a false proof that nobody signed for under this job")?;
            let signed = signed.expect("checked above");
            // Draw order, and each at most once: whoever is left out is named on the client's word.
            let is_named = named.any(|node| *node == signed.issuer);
            dispute(
                is_named,
                RULE,
                "a false proof of somebody whom the claims do not name for it, or not in order",
            )?;
            let digest = EvidenceKind::Proof.digest(proof);
            let is_its = signed.evidence(EvidenceKind::Proof) == Some(digest);
            dispute(is_its, RULE, "a false proof that is not the one that was signed for")?;
            let is_false = verifier.verify(&signed.proven(), proof).is_err();
            dispute(is_false, RULE, "a proof that is called false holds: the accusation is false")?;
            Ok(signed.issuer)
        };
        self.given.iter().map(check).collect()
    }
}

/// Checks every signature and counts the votes (QUORUM-02, -03, -06, -08).
///
/// # Errors
/// [`EvidenceError::Votes`].
pub fn check_votes(header: &JobHeader, cast: &Votes) -> Result<Tally, EvidenceError> {
    let job = header.id();
    let parties = header.committee.len() + header.reserves.len();
    votes(cast.commits.len() <= 2 * parties, "QUORUM-02", "more commits than parties could make")?;
    votes(cast.reveals.len() <= 2 * parties, "QUORUM-06", "more reveals than parties could make")?;
    let mut equivocators = Vec::new();
    let mut commits: Vec<&Commit> = Vec::new();
    for signed in &cast.commits {
        let commit = signed.claimed();
        votes(header.rank(&commit.node).is_some(), "QUORUM-03", "a commit of a stranger")?;
        let holds = signed.verify_from(&commit.node, job).is_ok();
        votes(holds, "QUORUM-02", "a commit that its party did not sign")?;
        if let Some(other) = commits.iter().find(|known| known.node == commit.node) {
            votes(other.digest != commit.digest, "QUORUM-02", "a commit given twice")?;
            push_new(&mut equivocators, commit.node);
        }
        commits.push(commit);
    }
    let mut classes: Vec<Class> = Vec::new();
    let mut reveals: Vec<&Reveal> = Vec::new();
    for signed in &cast.reveals {
        let reveal = signed.claimed();
        let commit = commits.iter().find(|commit| commit.node == reveal.node);
        let commit =
            commit.ok_or(EvidenceError::Votes { rule: "QUORUM-06", what: "a reveal without commit" })?;
        let holds = signed.verify_from(&reveal.node, job).is_ok();
        votes(holds, "QUORUM-06", "a reveal that its party did not sign")?;
        let again = reveals.iter().any(|known| known.node == reveal.node);
        votes(!again, "QUORUM-06", "a party reveals twice")?;
        if !reveal.opens(commit) {
            push_new(&mut equivocators, reveal.node);
        }
        reveals.push(reveal);
    }
    reveals.sort_by_key(|reveal| header.rank(&reveal.node));
    for reveal in reveals.into_iter().filter(|reveal| !equivocators.contains(&reveal.node)) {
        match classes.iter_mut().find(|class| (class.output, class.trace) == (reveal.output, reveal.trace)) {
            Some(class) => class.members.push(reveal.node),
            None => {
                classes.push(Class {
                    output: reveal.output,
                    trace: reveal.trace,
                    members: vec![reveal.node],
                });
            }
        }
    }
    Ok(Tally { classes, equivocators })
}

fn push_new(list: &mut Vec<PublicIdentity>, node: PublicIdentity) {
    if !list.contains(&node) {
        list.push(node);
    }
}

/// The search for the first leaf on which two parties differ, with the job key or without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descent {
    pub(crate) position: Position,
    pub(crate) first: Commitment,
    pub(crate) second: Commitment,
}

/// Whose answer does not open its own commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misopened {
    pub(crate) first: bool,
    pub(crate) second: bool,
}

impl Descent {
    pub(crate) fn start(operations: u32, first: Commitment, second: Commitment) -> Self {
        Self { position: Position::root(operations), first, second }
    }

    /// The operation, once a leaf is reached.
    pub(crate) fn leaf(&self) -> Option<u32> {
        (self.position.count == 1).then_some(self.position.start)
    }

    /// Goes one step down: left where the left children differ, else right. Without the key hashes are not checked.
    pub(crate) fn step(
        self,
        key: Option<&CommitmentKey>,
        first: &Opening,
        second: &Opening,
    ) -> Result<Self, Misopened> {
        if let Some(key) = key {
            let misopened =
                Misopened { first: !first.opens(key, &self.first), second: !second.opens(key, &self.second) };
            if misopened.first || misopened.second {
                return Err(misopened);
            }
        }
        let (left, right) = self.position.children().ok_or(Misopened { first: false, second: false })?;
        Ok(if first.left == second.left {
            Self { position: right, first: first.right, second: second.right }
        } else {
            Self { position: left, first: first.left, second: second.left }
        })
    }
}

/// Follows the votes and every dispute to what survives (QUORUM-08 to -17). With `key` nothing about hashes is assumed.
///
/// # Errors
/// [`EvidenceError`].
pub fn check_dispute(
    header: &JobHeader,
    cast: &Votes,
    told: Option<&Dispute>,
    key: Option<&CommitmentKey>,
) -> Result<Judgement, EvidenceError> {
    let tally = check_votes(header, cast)?;
    let empty = Dispute::empty();
    let told = told.unwrap_or(&empty);
    let mut court =
        Court { header, cast, key, classes: tally.classes, faults: Vec::new(), assumed: Vec::new() };
    for node in tally.equivocators {
        court.faults.push(Fault { node, kind: FaultKind::Equivocate });
    }
    court.hear_unbound(&told.unbound)?;
    dispute(told.duels.len() <= header.members(), "QUORUM-10", "more disputes than places")?;
    told.duels.iter().try_for_each(|duel| court.hear(duel))?;
    court.close()
}

struct Court<'a> {
    header: &'a JobHeader,
    cast: &'a Votes,
    key: Option<&'a CommitmentKey>,
    classes: Vec<Class>,
    faults: Vec<Fault>,
    assumed: Vec<Assumption>,
}

impl Court<'_> {
    fn hear_unbound(&mut self, stated: &[Unbound]) -> Result<(), EvidenceError> {
        for unbound in stated {
            self.class_of(&unbound.node)?;
            match self.key {
                None => self.assumed.push(Assumption::Key(unbound.node)),
                Some(key) => {
                    let shown =
                        self.reveal(&unbound.node).map(|reveal| check_outputs(self.header, key, reveal));
                    let proven = shown == Some(Err(Unusable::Unbound(unbound.operation)));
                    dispute(proven, "QUORUM-07", "an output said to be outside its trace stands in it")?;
                }
            }
            self.remove(unbound.node, FaultKind::Lie { operation: unbound.operation });
        }
        Ok(())
    }

    fn hear(&mut self, duel: &Duel) -> Result<(), EvidenceError> {
        let (first, second) = (self.class_of(&duel.first)?, self.class_of(&duel.second)?);
        dispute(first != second, "QUORUM-10", "two parties that agree dispute")?;
        let roots = (self.classes[first].trace, self.classes[second].trace);
        dispute(roots.0 != roots.1, "QUORUM-10", "two parties with one trace dispute")?;
        let start = Descent::start(self.header.shape.operations, roots.0, roots.1);
        let (last, misopened) = self.replay(duel, start)?;
        match &duel.end {
            End::Silence { first, second } => {
                dispute(misopened.is_none() && (*first || *second), "QUORUM-13", "nobody was silent")?;
                for (node, silent) in [(duel.first, first), (duel.second, second)] {
                    if *silent {
                        self.assumed.push(Assumption::Client(node));
                        self.remove(node, FaultKind::Silent);
                    }
                }
            }
            End::Misopen { first, second } => {
                let stated = Misopened { first: *first, second: *second };
                dispute(*first || *second, "QUORUM-11", "nobody opened wrongly")?;
                dispute(!duel.rounds.is_empty(), "QUORUM-11", "nobody opened anything")?;
                let proven = self.key.is_none() || misopened == Some(stated);
                dispute(proven, "QUORUM-11", "an answer said to be wrong is right")?;
                for (node, wrong) in [(duel.first, first), (duel.second, second)] {
                    if *wrong {
                        if self.key.is_none() {
                            self.assumed.push(Assumption::Key(node));
                        }
                        self.remove(node, FaultKind::Equivocate);
                    }
                }
            }
            End::Settle { operands, finding } => {
                dispute(misopened.is_none(), "QUORUM-11", "an answer does not open its commitment")?;
                let operation = last.leaf();
                let operation = operation
                    .ok_or(EvidenceError::Dispute { rule: "QUORUM-11", what: "the search did not end" })?;
                self.settle(duel, &last, operation, operands, finding)?;
            }
        }
        Ok(())
    }

    /// Walks down the rounds; a wrong opening can only stand in the last.
    fn replay(&self, duel: &Duel, start: Descent) -> Result<(Descent, Option<Misopened>), EvidenceError> {
        let job = self.header.id();
        dispute(duel.rounds.len() <= 32, "QUORUM-11", "more steps than any trace is deep")?;
        let mut at = start;
        for (index, round) in duel.rounds.iter().enumerate() {
            let first = self.answer(&round.first, &duel.first, job, at.position)?;
            let second = self.answer(&round.second, &duel.second, job, at.position)?;
            match at.step(self.key, &first, &second) {
                Ok(next) => at = next,
                Err(misopened) => {
                    let last = index + 1 == duel.rounds.len();
                    dispute(last, "QUORUM-11", "the search went on behind a wrong answer")?;
                    dispute(misopened.first || misopened.second, "QUORUM-11", "a leaf is opened")?;
                    return Ok((at, Some(misopened)));
                }
            }
            let misopen = matches!(duel.end, End::Misopen { .. }) && index + 1 == duel.rounds.len();
            dispute(misopen || at.first != at.second, "QUORUM-11", "the search went where both agree")?;
        }
        Ok((at, None))
    }

    fn answer(
        &self,
        signed: &Signed<Branches>,
        node: &PublicIdentity,
        job: JobId,
        position: Position,
    ) -> Result<Opening, EvidenceError> {
        let wrong =
            EvidenceError::Dispute { rule: "QUORUM-11", what: "an answer that its party did not sign" };
        let branches = signed.verify_from(node, job).map_err(|_| wrong)?;
        dispute(branches.position == position, "QUORUM-11", "an answer to another question")?;
        Ok(branches.opening)
    }

    fn settle(
        &mut self,
        duel: &Duel,
        last: &Descent,
        operation: u32,
        operands: &[OperandLeaf],
        signed: &Signed<Finding>,
    ) -> Result<(), EvidenceError> {
        let finding = signed.verify_from(&signed.claimed().node, self.header.id()).map_err(|_| {
            EvidenceError::Dispute { rule: "QUORUM-14", what: "a finding that nobody signed" }
        })?;
        dispute(self.may_judge(&finding.node), "QUORUM-14", "a finding of somebody who may not judge")?;
        dispute(finding.operation == operation, "QUORUM-14", "a finding about another operation")?;
        let given = operands.iter().map(|operand| operand.leaf);
        dispute(
            given.eq(finding.operands.iter().copied()),
            "QUORUM-12",
            "the referee was given other operands",
        )?;
        if let Some(key) = self.key {
            let shown_by = |node: &PublicIdentity| -> Result<bool, EvidenceError> {
                let trace = self.classes[self.class_of(node)?].trace;
                Ok(operands.iter().all(|operand| check_operand(self.header, key, &trace, operation, operand)))
            };
            // Either party may have shown them: all leaves before the first that differs are the same in both trees.
            let agreed = shown_by(&duel.first)? || shown_by(&duel.second)?;
            dispute(agreed, "QUORUM-12", "an operand is not the one both agree on")?;
        }
        self.assumed.push(Assumption::Referee(finding.node));
        for (node, leaf) in [(duel.first, last.first), (duel.second, last.second)] {
            if leaf != finding.leaf {
                // The whole class signed the root above this leaf.
                let class = self.class_of(&node)?;
                for member in self.classes[class].members.clone() {
                    self.remove(member, FaultKind::Lie { operation });
                }
            }
        }
        Ok(())
    }

    fn may_judge(&self, node: &PublicIdentity) -> bool {
        let voted = self.cast.commits.iter().any(|commit| commit.claimed().node == *node);
        match self.header.referee {
            RefereeRule::Client => *node == self.header.client,
            RefereeRule::Reserve => !voted && self.header.reserves.contains(node),
        }
    }

    fn class_of(&self, node: &PublicIdentity) -> Result<usize, EvidenceError> {
        let wrong =
            EvidenceError::Dispute { rule: "QUORUM-10", what: "a party without a valid vote disputes" };
        self.classes.iter().position(|class| class.members.contains(node)).ok_or(wrong)
    }

    fn reveal(&self, node: &PublicIdentity) -> Option<&Reveal> {
        self.cast.reveals.iter().map(Signed::claimed).find(|reveal| reveal.node == *node)
    }

    fn remove(&mut self, node: PublicIdentity, kind: FaultKind) {
        for class in &mut self.classes {
            class.members.retain(|member| *member != node);
        }
        self.faults.push(Fault { node, kind });
    }

    fn close(mut self) -> Result<Judgement, EvidenceError> {
        self.classes.retain(|class| !class.members.is_empty());
        dispute(self.classes.len() <= 1, "QUORUM-10", "a difference is left unsettled")?;
        let needed = self.header.majority();
        let survivors = self.classes.pop();
        let equal = survivors.as_ref().map_or(0, |class| class.members.len());
        let Some(class) = survivors.filter(|_| equal >= needed) else {
            return Err(EvidenceError::NoMajority { equal, needed });
        };
        if let Some(key) = self.key {
            let bound = |node: &PublicIdentity| {
                self.reveal(node).is_some_and(|reveal| check_outputs(self.header, key, reveal).is_ok())
            };
            let bound = class.members.iter().all(bound);
            dispute(bound, "QUORUM-07", "the accepted output does not stand in its trace")?;
        }
        Ok(Judgement {
            output: class.output,
            trace: class.trace,
            survivors: class.members,
            faults: self.faults,
            assumed: self.assumed,
        })
    }
}

/// Checks claims against everything they follow from: the header, the votes and the disputes, and the digests under
/// which the claims name them (QUORUM-18). `told` is empty when nobody differed. For a lead before it signs, and for
/// the offline verifier after.
///
/// # Errors
/// [`EvidenceError`].
pub fn check_claims(
    header: &JobHeader,
    claims: &Claims,
    cast: &[u8],
    told: &[u8],
    key: Option<&CommitmentKey>,
) -> Result<Judgement, EvidenceError> {
    let read_votes = Votes::from_bytes(cast)?;
    let read_dispute = if told.is_empty() { None } else { Some(Dispute::from_bytes(told)?) };
    let judgement = check_dispute(header, &read_votes, read_dispute.as_ref(), key)?;
    check_against_header(header, claims)?;
    let named = |kind: EvidenceKind, bytes: &[u8]| claims.evidence(kind) == Some(kind.digest(bytes));
    same(named(EvidenceKind::Header, &header.to_bytes()), "the header's digest")?;
    same(named(EvidenceKind::Votes, cast), "the votes' digest")?;
    let dispute_named = match told.is_empty() {
        true => claims.evidence(EvidenceKind::Dispute).is_none(),
        false => named(EvidenceKind::Dispute, told),
    };
    same(dispute_named, "the dispute's digest")?;
    same(claims.output == judgement.output, "the output")?;
    same(judgement.survivors.contains(&claims.issuer), "the issuer")?;
    same(faults_agree(claims, &judgement), "the faults")?;
    Ok(judgement)
}

/// Checks what claims repeat of the header.
///
/// # Errors
/// [`EvidenceError::Claims`].
pub fn check_against_header(header: &JobHeader, claims: &Claims) -> Result<(), EvidenceError> {
    same(claims.check().is_ok(), "their own rules")?;
    same(claims.job == header.id() && claims.nonce == header.nonce, "the job")?;
    same(claims.model == header.model, "the model")?;
    same(claims.input == header.input && claims.records == header.records, "the input")?;
    same(claims.policy == header.policy, "the policy")?;
    let protection = (claims.protection_asked, claims.protection_used);
    same(protection == (header.protection_asked, header.protection), "the protection")?;
    let verification = (claims.verification_asked, claims.verification_used);
    same(verification == (header.verification_asked, header.verification), "the verification")?;
    same(claims.directory == header.directory && claims.log == header.log, "the directory")?;
    same(claims.committee == header.committee, "the committee")?;
    let ranks =
        claims.reserves_used.iter().map(|node| header.reserves.iter().position(|known| known == node));
    let ranks: Option<Vec<usize>> = ranks.collect();
    same(ranks.is_some_and(|ranks| ranks.is_sorted_by(|a, b| a < b)), "the reserves")?;
    let during = header.requested <= claims.finished && claims.finished <= header.deadline;
    same(claims.requested == header.requested && during, "the times")
}

fn same(equal: bool, what: &'static str) -> Result<(), EvidenceError> {
    if equal { Ok(()) } else { Err(EvidenceError::Claims(what)) }
}

/// Every fault that follows is claimed; of those that evidence must show (a lie, an equivocation), no other is.
fn faults_agree(claims: &Claims, judgement: &Judgement) -> bool {
    let follows = judgement.faults.iter().all(|fault| claims.faults.contains(fault));
    let shown = claims
        .faults
        .iter()
        .filter(|fault| matches!(fault.kind, FaultKind::Lie { .. } | FaultKind::Equivocate))
        .all(|fault| judgement.faults.contains(fault));
    follows && shown
}
