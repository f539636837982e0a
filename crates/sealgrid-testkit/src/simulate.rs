//! One job over a grid in virtual time: real machines, real graph, real executors, real seals; only the network, the
//! disks and the clock are simulated. Everything follows from one seed.
//!
//! The network loses, repeats, delays, reorders and cuts off. Every `Store` may kill its process, before the write is
//! durable or after; the process starts again with what is durable. Nodes are slow, gone, or dishonest in each of the
//! ways of [`Behaviour`]. [`Outcome::check`] holds the invariants.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use sealgrid_graph::execute::Batch;
use sealgrid_protocol::claims::{EvidenceKind, Fault, FaultKind, SignedClaims};
use sealgrid_protocol::job::client::{Decision, Reason};
use sealgrid_protocol::job::evidence::check_claims;
use sealgrid_protocol::job::header::{JobHeader, OnDispute, RefereeRule};
use sealgrid_protocol::machine::Millis;
use sealgrid_seal::digest::CommitmentKey;
use sealgrid_seal::identity::PublicIdentity;

pub use world::run;

/// When every simulated job begins.
pub const START: Millis = 1_700_000_000_000;
/// Every simulated job's time.
pub const LIFETIME_MS: Millis = 60_000;
/// What every simulated input consists of; must never be seen outside the client and a node's run.
pub const MARKER: &[u8; 16] = b"patient-0042!!xy";

/// What a node is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Does as the protocol says.
    Honest,
    /// Honest; every message takes as long as a member is given.
    Slow,
    /// Honest; gone for good after this many messages.
    Crash {
        /// Messages that it still sends.
        after: u32,
    },
    /// Its results are wrong from one operation on, consistently. The same `flip` is the same lie.
    Lie {
        /// See [`crate::liar::WrongFrom`].
        flip: u8,
    },
    /// Its output is another than its trace yields.
    LieOutput,
    /// Lies, and does not open its trace.
    LieSilently,
    /// Lies, and opens something else than its trace.
    LieAndMisopen,
    /// Lies, and shows other operands than its trace holds, or none that open.
    LieAndHide,
    /// Commits to one vote, shows another.
    ChangeVote,
    /// Commits to two votes.
    Equivocate,
    /// Commits, and never shows its vote.
    Withhold,
    /// Votes honestly, delivers an output that does not open.
    Garble,
    /// Signs with a key that is not its own.
    Forge,
    /// Answers with bytes that are no message.
    Babble,
}

impl Behaviour {
    /// Every dishonest behaviour.
    pub const DISHONEST: [Self; 12] = [
        Self::Lie { flip: 1 },
        Self::Lie { flip: 2 },
        Self::LieOutput,
        Self::LieSilently,
        Self::LieAndMisopen,
        Self::LieAndHide,
        Self::ChangeVote,
        Self::Equivocate,
        Self::Withhold,
        Self::Garble,
        Self::Forge,
        Self::Babble,
    ];

    /// Whether the protocol's rules are broken; slow and gone nodes are not dishonest.
    #[must_use]
    pub fn is_dishonest(self) -> bool {
        !matches!(self, Self::Honest | Self::Slow | Self::Crash { .. })
    }
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// Places; 1 is `signed`.
    pub members: u8,
    /// Members, then reserves, in draw order.
    pub nodes: Vec<Behaviour>,
    /// Who settles disputes.
    pub referee: RefereeRule,
    /// What disputes lead to.
    pub on_dispute: OnDispute,
    /// Messages lost, in 256ths.
    pub loss: u8,
    /// Messages repeated, in 256ths.
    pub duplication: u8,
    /// Longest delay of a message.
    pub delay_ms: Millis,
    /// Stores that kill their process, in 256ths.
    pub crash: u8,
    /// Whether some nodes are cut off for a while.
    pub partition: bool,
}

impl Scenario {
    /// A calm network and honest nodes.
    #[must_use]
    pub fn calm(seed: u64, members: u8, nodes: Vec<Behaviour>) -> Self {
        Self {
            seed,
            members,
            nodes,
            referee: RefereeRule::Client,
            on_dispute: OnDispute::Resolve,
            loss: 0,
            duplication: 0,
            delay_ms: 20,
            crash: 0,
            partition: false,
        }
    }

    /// A random scenario in which fewer than a majority of the nodes that may vote are dishonest.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut random = sealgrid_graph::arbitrary::Random::new(seed);
        let members: u8 = [1, 2, 3, 3, 3, 4, 5][random.below(7) as usize];
        let reserves = random.below(4) as usize;
        let mut nodes = vec![Behaviour::Honest; usize::from(members) + reserves];
        let mut liars = if members == 1 { 0 } else { random.below(u64::from(members.div_ceil(2))) };
        while liars > 0 {
            let place = random.below(nodes.len() as u64) as usize;
            let kind = random.below(Behaviour::DISHONEST.len() as u64) as usize;
            nodes[place] = Behaviour::DISHONEST[kind];
            liars -= 1;
        }
        let place = random.below(2 * nodes.len() as u64) as usize;
        if let Some(node @ Behaviour::Honest) = nodes.get_mut(place) {
            let after = random.below(4) as u32;
            *node = if random.below(2) == 0 { Behaviour::Slow } else { Behaviour::Crash { after } };
        }
        // A reserve that judges is trusted to, so it is honest where reserves judge.
        let reserves_honest = nodes[usize::from(members)..].iter().all(|node| !node.is_dishonest());
        let byte = |random: &mut sealgrid_graph::arbitrary::Random, limit| random.below(limit) as u8;
        Self {
            seed,
            members,
            referee: if reserves_honest && random.below(2) == 0 {
                RefereeRule::Reserve
            } else {
                RefereeRule::Client
            },
            on_dispute: if random.below(8) == 0 { OnDispute::Refuse } else { OnDispute::Resolve },
            loss: byte(&mut random, 64),
            duplication: byte(&mut random, 64),
            delay_ms: 1 + random.below(400),
            crash: byte(&mut random, 48),
            partition: random.below(4) == 0,
            nodes,
        }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// Identities in draw order.
    pub identities: Vec<PublicIdentity>,
    /// The header.
    pub header: JobHeader,
    /// The job key.
    pub key: CommitmentKey,
    /// What the reference yields.
    pub expected: Vec<Batch>,
    /// The client's last word and when it came.
    pub decision: Option<(Millis, Decision)>,
    /// Faults that were reported on the way.
    pub faults: Vec<Fault>,
    /// Every digest that each node committed to, over all its lives.
    pub commits: BTreeMap<PublicIdentity, BTreeSet<[u8; 32]>>,
    /// Whether [`MARKER`] was seen in a message or on a node's disk.
    pub marker_seen: bool,
    /// Messages delivered.
    pub messages: u64,
    /// Processes killed.
    pub crashes: u64,
}

impl Outcome {
    /// Checks what must hold in every scenario.
    ///
    /// # Panics
    /// With the seed, when it does not.
    pub fn check(&self) {
        let seed = self.scenario.seed;
        let Some((at, decision)) = &self.decision else { panic!("seed {seed}: the job never ended") };
        assert!(*at <= self.header.deadline + 10_000, "seed {seed}: ended {at} after its deadline");
        assert!(!self.marker_seen, "seed {seed}: plaintext left the client");
        for (identity, digests) in &self.commits {
            let honest = self.behaviour(identity).is_some_and(|node| !node.is_dishonest());
            assert!(!honest || digests.len() <= 1, "seed {seed}: an honest node voted twice");
        }
        let proven = |fault: &&Fault| matches!(fault.kind, FaultKind::Lie { .. } | FaultKind::Equivocate);
        for fault in self.all_faults().iter().filter(proven) {
            let honest = self.behaviour(&fault.node).is_some_and(|node| !node.is_dishonest());
            assert!(!honest, "seed {seed}: an honest node is named: {fault:?}");
        }
        if let Decision::Accept(accepted) = decision {
            assert_eq!(accepted.output, self.expected, "seed {seed}: a wrong output was accepted");
            self.check_receipt(&accepted.receipt, &accepted.evidence);
        }
    }

    fn check_receipt(&self, receipt: &[u8], evidence: &[sealgrid_protocol::job::client::Evidence]) {
        let seed = self.scenario.seed;
        let claims = SignedClaims::from_bytes(receipt.to_vec()).verify();
        let claims = claims.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let of =
            |kind| evidence.iter().find(|evidence| evidence.kind == kind).map(|evidence| &evidence.bytes[..]);
        assert_eq!(of(EvidenceKind::Header), Some(&self.header.to_bytes()[..]), "seed {seed}");
        if self.scenario.members > 1 {
            let (votes, dispute) = (of(EvidenceKind::Votes), of(EvidenceKind::Dispute));
            for key in [None, Some(&self.key)] {
                let judged = check_claims(
                    &self.header,
                    &claims,
                    votes.unwrap_or_default(),
                    dispute.unwrap_or_default(),
                    key,
                );
                assert!(judged.is_ok(), "seed {seed}: evidence does not hold: {judged:?}");
            }
        }
    }

    /// Every fault that was reported, decided or claimed.
    #[must_use]
    pub fn all_faults(&self) -> Vec<Fault> {
        let mut faults = self.faults.clone();
        match &self.decision {
            Some((_, Decision::Refuse(refused))) => faults.extend(&refused.faults),
            Some((_, Decision::Accept(accepted))) => {
                let claims = SignedClaims::from_bytes(accepted.receipt.clone()).verify();
                faults.extend(claims.into_iter().flat_map(|claims| claims.faults));
            }
            None => {}
        }
        faults
    }

    /// What the node is like.
    #[must_use]
    pub fn behaviour(&self, identity: &PublicIdentity) -> Option<Behaviour> {
        let place = self.identities.iter().position(|known| known == identity)?;
        Some(self.scenario.nodes[place])
    }

    /// Why it was refused; `None` when it was accepted.
    #[must_use]
    pub fn refused(&self) -> Option<Reason> {
        match &self.decision {
            Some((_, Decision::Refuse(refused))) => Some(refused.reason),
            _ => None,
        }
    }

    /// Faults of the node at `place` of the draw.
    #[must_use]
    pub fn faults_of(&self, place: usize) -> Vec<FaultKind> {
        let mut kinds: Vec<FaultKind> = Vec::new();
        for fault in self.all_faults() {
            if fault.node == self.identities[place] && !kinds.contains(&fault.kind) {
                kinds.push(fault.kind);
            }
        }
        kinds
    }
}

#[cfg(test)]
mod tests;
