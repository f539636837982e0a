//! What client and nodes say to each other: `[version, message]` in canonical CBOR, each with its own limit.
//!
//! Every question of the client is answered by exactly one message of the same [`Exchange`] or by a [`Refusal`] of
//! it. A question may be repeated: the answer is the same. So a transport of calls and a transport of datagrams both
//! do.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use sealgrid_graph::integer::{INPUTS_MAX, OPERANDS_MAX};
use sealgrid_graph::trace::Position;
use sealgrid_seal::canonical::{self, NotCanonical};
use sealgrid_seal::envelope::Sealed;

use super::header::{HEADER_BYTES_MAX, JobHeader, PAYLOAD_BYTES_MAX, VERSION};
use super::statement::{Branches, Commit, Finding, Reveal, Signed};
use crate::claims::{Claims, RECEIPT_BYTES_MAX};
use crate::names::JobId;

/// Most bytes of votes as evidence.
pub const VOTES_BYTES_MAX: usize = 8 << 20;
/// Most bytes of a proof of a run.
pub const PROOF_BYTES_MAX: usize = 4 << 20;
/// Most bytes of a dispute as evidence.
pub const DISPUTE_BYTES_MAX: usize = 8 << 20;
/// Most bytes of false proofs as evidence: what does not fit stays the client's word.
pub const FALSE_PROOFS_BYTES_MAX: usize = 16 << 20;

/// Everything that is said.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Client: run this.
    #[n(0)]
    Assign(#[cbor(n(0), with = "shared")] Arc<Assign>),
    /// Node: I have voted (quorum).
    #[n(1)]
    Commit(#[n(0)] Signed<Commit>),
    /// Node: here is the result (`signed`, `proof`).
    #[n(2)]
    Answer(#[n(0)] Answer),
    /// Client: these are all the votes; show yours.
    #[n(3)]
    Open(#[n(0)] Open),
    /// Node: my vote.
    #[n(4)]
    Reveal(#[n(0)] RevealMessage),
    /// Client: open your trace at this node.
    #[n(5)]
    AskBranches(#[n(0)] AskBranches),
    /// Node: its children.
    #[n(6)]
    Branches(#[n(0)] Signed<Branches>),
    /// Client: show the operands of this operation.
    #[n(7)]
    AskOperands(#[n(0)] AskOperands),
    /// Node: here they are.
    #[n(8)]
    Operands(#[n(0)] Operands),
    /// Client to a reserve: run this operation alone.
    #[n(9)]
    Refer(#[n(0)] Box<Refer>),
    /// Referee: its true leaf.
    #[n(10)]
    Finding(#[n(0)] Signed<Finding>),
    /// Client to the lead: sign these claims.
    #[n(11)]
    Endorse(#[n(0)] Box<Endorse>),
    /// Lead: the receipt.
    #[n(12)]
    Receipt(#[n(0)] Receipt),
    /// Client: forget the job. Not answered.
    #[n(13)]
    Close(#[n(0)] JobId),
    /// Node: I will not.
    #[n(14)]
    Refuse(#[n(0)] Refusal),
}

/// CBOR of a value that several owners share: that of the value.
pub(super) mod shared {
    use std::sync::Arc;

    use minicbor::encode::{Error, Write};
    use minicbor::{Decode, Decoder, Encode, Encoder};

    pub fn encode<C, T: Encode<C>, W: Write>(
        value: &Arc<T>,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), Error<W::Error>> {
        T::encode(value, e, ctx)
    }

    pub fn decode<'b, C, T: Decode<'b, C>>(
        d: &mut Decoder<'b>,
        ctx: &mut C,
    ) -> Result<Arc<T>, minicbor::decode::Error> {
        T::decode(d, ctx).map(Arc::new)
    }
}

/// A job for one node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Assign {
    /// The public header.
    #[n(0)]
    pub header: JobHeader,
    /// [`super::header::Payload`], sealed to the node's job key; associated data is the header.
    #[n(1)]
    pub payload: Sealed,
    /// For `signed` and `proof`: the claims to complete and sign. For a quorum `None`.
    #[n(2)]
    pub draft: Option<Claims>,
}

/// The result of a job with one member.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Answer {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// A signed receipt.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
    /// The output under the reply key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub output: Vec<u8>,
    /// For `proof`: the proof, as a file.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub proof: Option<Vec<u8>>,
}

/// All votes of a job.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Open {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// One vote a party, in draw order.
    #[n(1)]
    pub commits: Vec<Signed<Commit>>,
}

/// A vote, opened.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RevealMessage {
    /// The vote.
    #[n(0)]
    pub reveal: Signed<Reveal>,
    /// The output under the reply key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub output: Vec<u8>,
}

/// A bisection's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskBranches {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Which node of the trace.
    #[n(1)]
    pub position: Position,
}

/// A question for operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskOperands {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Which operation.
    #[n(1)]
    pub operation: u32,
}

/// The operands of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operands {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Which operation.
    #[n(1)]
    pub operation: u32,
    /// What each operand is and how it stands in the trace; public, because commitments are keyed.
    #[n(2)]
    pub leaves: Vec<OperandLeaf>,
    /// Their batches under the reply key.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub sealed: Vec<u8>,
}

/// One operand: a value of the graph, its commitment, and how that follows from what is agreed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct OperandLeaf {
    /// The value: inputs first, then one an operation.
    #[n(0)]
    pub value: u32,
    /// [`super::header::commit_output`].
    #[n(1)]
    pub leaf: sealgrid_seal::digest::Commitment,
    /// Siblings from the leaf up to the trace's root; for an input of the graph, the commitments to all inputs.
    #[n(2)]
    pub path: Vec<sealgrid_seal::digest::Commitment>,
}

/// One operation for a referee.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refer {
    /// The public header.
    #[n(0)]
    pub header: JobHeader,
    /// Which operation.
    #[n(1)]
    pub operation: u32,
    /// Which values its operands are.
    #[n(2)]
    pub values: Vec<u32>,
    /// Job key and operands as a [`super::header::Payload`], sealed to the referee's job key; associated data is the
    /// header, then the operation as 4 bytes little endian.
    #[n(3)]
    pub payload: Sealed,
}

/// Claims to be signed, and what they rest on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Endorse {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// The claims.
    #[n(1)]
    pub claims: Claims,
    /// Votes as evidence ([`super::evidence::Votes`]).
    #[cbor(n(2), with = "minicbor::bytes")]
    pub votes: Vec<u8>,
    /// Disputes as evidence ([`super::evidence::Dispute`]); empty when all agreed.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub dispute: Vec<u8>,
}

/// A signed receipt.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Its bytes.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub receipt: Vec<u8>,
}

/// A node will not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refusal {
    /// The job.
    #[n(0)]
    pub job: JobId,
    /// Which question is refused.
    #[n(1)]
    pub exchange: Exchange,
    /// Why.
    #[n(2)]
    pub why: Why,
}

/// A question and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Exchange {
    /// [`Message::Assign`] → [`Message::Commit`] or [`Message::Answer`].
    #[n(0)]
    Assign,
    /// [`Message::Open`] → [`Message::Reveal`].
    #[n(1)]
    Open,
    /// [`Message::AskBranches`] → [`Message::Branches`].
    #[n(2)]
    Branches,
    /// [`Message::AskOperands`] → [`Message::Operands`].
    #[n(3)]
    Operands,
    /// [`Message::Refer`] → [`Message::Finding`].
    #[n(4)]
    Refer,
    /// [`Message::Endorse`] → [`Message::Receipt`].
    #[n(5)]
    Endorse,
    /// [`Message::Close`], not answered.
    #[n(6)]
    Close,
}

/// Why a node refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, thiserror::Error)]
#[cbor(index_only)]
pub enum Why {
    /// The header breaks its rules, or the payload does not open or does not fit it.
    #[n(0)]
    #[error("the job contradicts itself")]
    Malformed,
    /// The node is no party of the job.
    #[n(1)]
    #[error("the node is no party of the job")]
    NotAParty,
    /// The job belongs to another client than the one that sent this.
    #[n(2)]
    #[error("the job belongs to another client")]
    OtherClient,
    /// The job was taken before in another form, or is over.
    #[n(3)]
    #[error("the job was accepted before")]
    Replayed,
    /// The deadline has passed, or clocks differ too much.
    #[n(4)]
    #[error("the job is outside its time")]
    Expired,
    /// The node does not know the job.
    #[n(5)]
    #[error("the job is not known here")]
    UnknownJob,
    /// The node does not serve the model.
    #[n(6)]
    #[error("the model is not served here")]
    UnknownModel,
    /// No more jobs fit, of this client or at all.
    #[n(7)]
    #[error("no place for another job")]
    Busy,
    /// The run failed, or did not yield what it had yielded before.
    #[n(8)]
    #[error("the run failed")]
    Failed,
    /// The node's own vote is not among those shown, or one of them is not signed by a party.
    #[n(9)]
    #[error("the votes shown are not those of the parties")]
    BadVotes,
    /// There is no such node in the trace, no such operation, or the operands are not its.
    #[n(10)]
    #[error("no such part of the trace")]
    BadQuestion,
    /// The claims are not what the node saw.
    #[n(11)]
    #[error("the claims are not what the node saw")]
    BadClaims,
    /// Model and records cost more than the node gives one job.
    #[n(12)]
    #[error("the job costs more than the node gives one job")]
    TooCostly,
    /// The node cannot prove runs of the model.
    #[n(13)]
    #[error("the node cannot prove runs of the model")]
    NoProof,
    /// None of the openings of the model's registration that the node may spend is left.
    #[n(14)]
    #[error("the node may make no more proofs of the model")]
    NoOpening,
}

impl Why {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::NotAParty,
        Self::OtherClient,
        Self::Replayed,
        Self::Expired,
        Self::UnknownJob,
        Self::UnknownModel,
        Self::Busy,
        Self::Failed,
        Self::BadVotes,
        Self::BadQuestion,
        Self::BadClaims,
        Self::TooCostly,
        Self::NoProof,
        Self::NoOpening,
    ];

    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "E-QRM-02",
            Self::NotAParty => "E-QRM-03",
            Self::OtherClient => "E-QRM-04",
            Self::Replayed => "E-QRM-05",
            Self::Expired => "E-QRM-06",
            Self::UnknownJob => "E-QRM-07",
            Self::UnknownModel => "E-AVL-60",
            Self::Busy => "E-RES-60",
            Self::Failed => "E-AVL-61",
            Self::BadVotes => "E-QRM-08",
            Self::BadQuestion => "E-QRM-09",
            Self::BadClaims => "E-QRM-10",
            Self::TooCostly => "E-RES-61",
            Self::NoProof => "E-AVL-64",
            Self::NoOpening => "E-RES-62",
        }
    }
}

#[derive(Encode, Decode)]
struct Framed {
    #[n(0)]
    version: u16,
    #[n(1)]
    message: Message,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Too long, malformed, or in another spelling.
    #[error("not a message: {0}")]
    Unreadable(#[from] NotCanonical),
    /// Of another version.
    #[error("message of version {0} where {VERSION} is understood")]
    Version(u16),
}

impl MessageError {
    /// The code in docs/reference/errors/quorum.md.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "E-QRM-11",
            Self::Version(_) => "E-QRM-12",
        }
    }
}

impl Message {
    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(&FramedRef { version: VERSION, message: self })
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`MessageError`], also when it is longer than its kind allows.
    pub fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let framed: Framed = canonical::decode(bytes, Exchange::Assign.bytes_max())?;
        if framed.version != VERSION {
            return Err(MessageError::Version(framed.version));
        }
        let limit = framed.message.exchange().bytes_max();
        if bytes.len() > limit {
            return Err(NotCanonical::TooLong { length: bytes.len(), limit }.into());
        }
        Ok(framed.message)
    }

    /// The exchange that it asks or answers.
    #[must_use]
    pub fn exchange(&self) -> Exchange {
        match self {
            Self::Assign(_) | Self::Commit(_) | Self::Answer(_) => Exchange::Assign,
            Self::Open(_) | Self::Reveal(_) => Exchange::Open,
            Self::AskBranches(_) | Self::Branches(_) => Exchange::Branches,
            Self::AskOperands(_) | Self::Operands(_) => Exchange::Operands,
            Self::Refer(_) | Self::Finding(_) => Exchange::Refer,
            Self::Endorse(_) | Self::Receipt(_) => Exchange::Endorse,
            Self::Close(_) => Exchange::Close,
            Self::Refuse(refusal) => refusal.exchange,
        }
    }

    /// The job that it is about.
    #[must_use]
    pub fn job(&self) -> JobId {
        match self {
            Self::Assign(assign) => assign.header.id(),
            Self::Commit(commit) => commit.claimed().job,
            Self::Answer(answer) => answer.job,
            Self::Open(open) => open.job,
            Self::Reveal(message) => message.reveal.claimed().job,
            Self::AskBranches(ask) => ask.job,
            Self::Branches(branches) => branches.claimed().job,
            Self::AskOperands(ask) => ask.job,
            Self::Operands(operands) => operands.job,
            Self::Refer(refer) => refer.header.id(),
            Self::Finding(finding) => finding.claimed().job,
            Self::Endorse(endorse) => endorse.job,
            Self::Receipt(receipt) => receipt.job,
            Self::Close(job) => *job,
            Self::Refuse(refusal) => refusal.job,
        }
    }

    /// Whether only a client says this.
    #[must_use]
    pub fn is_question(&self) -> bool {
        matches!(
            self,
            Self::Assign(_)
                | Self::Open(_)
                | Self::AskBranches(_)
                | Self::AskOperands(_)
                | Self::Refer(_)
                | Self::Endorse(_)
                | Self::Close(_)
        )
    }
}

impl Exchange {
    /// Most bytes of a question or an answer of this exchange.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        const SLACK: usize = 4 << 10;
        match self {
            Self::Assign => {
                PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX + RECEIPT_BYTES_MAX + PROOF_BYTES_MAX + SLACK
            }
            Self::Refer => PAYLOAD_BYTES_MAX + HEADER_BYTES_MAX + RECEIPT_BYTES_MAX + SLACK,
            // An output, and for each of at most 256 values its way up a tree of at most 2^20 leaves.
            Self::Open => PAYLOAD_BYTES_MAX + 256 * 22 * 34 + SLACK,
            // The operands of one operation, each with its way up or the commitments to all inputs.
            Self::Operands => PAYLOAD_BYTES_MAX + OPERANDS_MAX * INPUTS_MAX * 34 + SLACK,
            Self::Branches | Self::Close => SLACK,
            Self::Endorse => VOTES_BYTES_MAX + DISPUTE_BYTES_MAX + RECEIPT_BYTES_MAX + SLACK,
        }
    }
}

/// [`Framed`] without owning the message.
#[derive(Encode)]
struct FramedRef<'a> {
    #[n(0)]
    version: u16,
    #[n(1)]
    message: &'a Message,
}
