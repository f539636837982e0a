//! Who works on a job: a draw that anybody can repeat.
//!
//! It must (1) be out of the nodes' hands: the client's nonce and input commitment are fixed after the directory is,
//! and the directory stands under a witnessed checkpoint; (2) be repeatable offline by an auditor from public values;
//! (3) favour nobody. A verifiable random function of the client would also keep the client from choosing its
//! committee, but a client that grinds its nonce harms only itself, so a hash is enough and needs no key.
//!
//! Cost: one hash per eligible node.

use sealgrid_seal::digest::{Commitment, Digest, labels};
use sealgrid_seal::identity::PublicIdentity;

use crate::names::ModelCommitment;

/// What the draw of a job depends on. Every field is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawFacts {
    /// The client's nonce, fresh for every job.
    pub nonce: [u8; 32],
    /// Digest of the directory that the candidates come from.
    pub directory: Digest,
    /// Root of the log checkpoint under which that directory stands.
    pub checkpoint_root: [u8; 32],
    /// Model to run.
    pub model: ModelCommitment,
    /// Keyed commitment to the input.
    pub input: Commitment,
}

/// An eligible node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The node.
    pub node: PublicIdentity,
    /// Who runs it; compared only when operators must be distinct.
    pub operator: &'a str,
}

/// The outcome of a draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// The first `members` in draw order. The first of them leads.
    pub committee: Vec<PublicIdentity>,
    /// The rest, in the order in which they replace members and referee disputes.
    pub reserves: Vec<PublicIdentity>,
}

/// There are fewer candidates than the committee has places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{eligible} eligible nodes where the committee needs {members}")]
pub struct TooFewCandidates {
    /// Candidates that may sit together.
    pub eligible: usize,
    /// Places.
    pub members: usize,
}

impl DrawFacts {
    /// `H(QUORUM_DRAW, nonce, directory digest, checkpoint root, model, input commitment)`.
    #[must_use]
    pub fn seed(&self) -> Digest {
        Digest::of(
            labels::QUORUM_DRAW,
            &[&self.nonce, &self.directory.0, &self.checkpoint_root, &self.model.0.0, &self.input.0],
        )
    }

    /// Ranks the candidates by `H(QUORUM_DRAW, seed, node)` and seats the first `members`.
    ///
    /// The order of `candidates` does not matter and a node named twice counts once. With `operators_distinct` only
    /// the best-ranked node of each operator takes part, as member or as reserve.
    ///
    /// # Errors
    /// [`TooFewCandidates`].
    pub fn draw(
        &self,
        candidates: &[Candidate<'_>],
        members: usize,
        operators_distinct: bool,
    ) -> Result<Draw, TooFewCandidates> {
        let mut ranked = self.ranked(candidates);
        if operators_distinct {
            keep_first_of_each_operator(&mut ranked);
        }
        if ranked.len() < members {
            return Err(TooFewCandidates { eligible: ranked.len(), members });
        }
        let mut committee: Vec<_> = ranked.iter().map(|candidate| candidate.node).collect();
        let reserves = committee.split_off(members);
        Ok(Draw { committee, reserves })
    }

    fn ranked<'a>(&self, candidates: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
        let seed = self.seed();
        let rank = |candidate: &Candidate<'_>| Digest::of(labels::QUORUM_DRAW, &[&seed.0, &candidate.node.0]);
        let mut ranked: Vec<_> = candidates.iter().map(|candidate| (rank(candidate), *candidate)).collect();
        ranked.sort_unstable_by_key(|(rank, candidate)| (*rank, candidate.node));
        ranked.dedup_by_key(|(_, candidate)| candidate.node);
        ranked.into_iter().map(|(_, candidate)| candidate).collect()
    }
}

fn keep_first_of_each_operator(ranked: &mut Vec<Candidate<'_>>) {
    let mut seen = std::collections::HashSet::new();
    ranked.retain(|candidate| seen.insert(candidate.operator));
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPERATORS: [&str; 5] = ["amber", "birch", "cedar", "amber", "birch"];

    fn candidates(count: u8) -> Vec<Candidate<'static>> {
        (0..count)
            .map(|i| Candidate {
                node: PublicIdentity([i; 32]),
                operator: OPERATORS[usize::from(i) % OPERATORS.len()],
            })
            .collect()
    }

    fn facts(nonce: u64) -> DrawFacts {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&nonce.to_le_bytes());
        DrawFacts {
            nonce: bytes,
            directory: Digest([2; 32]),
            checkpoint_root: [3; 32],
            model: ModelCommitment(Digest([4; 32])),
            input: Commitment([5; 32]),
        }
    }

    #[test]
    fn the_draw_does_not_depend_on_the_order_or_repetition_of_candidates() {
        let ordered = candidates(9);
        let mut shuffled: Vec<_> = ordered.iter().rev().copied().collect();
        shuffled.push(ordered[4]);
        let draw = facts(1).draw(&ordered, 3, false).expect("nine candidates");
        assert_eq!(facts(1).draw(&shuffled, 3, false).as_ref(), Ok(&draw));
        assert_eq!((draw.committee.len(), draw.reserves.len()), (3, 6));
    }

    #[test]
    fn every_fact_changes_the_seed() {
        let base = facts(1);
        let changed = [
            DrawFacts { nonce: [9; 32], ..base.clone() },
            DrawFacts { directory: Digest([9; 32]), ..base.clone() },
            DrawFacts { checkpoint_root: [9; 32], ..base.clone() },
            DrawFacts { model: ModelCommitment(Digest([9; 32])), ..base.clone() },
            DrawFacts { input: Commitment([9; 32]), ..base },
        ];
        for facts in changed {
            assert_ne!(facts.seed(), base.seed());
        }
    }

    #[test]
    fn no_node_is_favoured() {
        // 4,000 draws of 3 from 8: each node is expected 1,500 times, standard deviation 31; 6 sigma = 184.
        let candidates = candidates(8);
        let mut seats = [0i32; 8];
        for nonce in 0..4_000 {
            for node in facts(nonce).draw(&candidates, 3, false).expect("eight candidates").committee {
                seats[usize::from(node.0[0])] += 1;
            }
        }
        assert!(seats.iter().all(|&count| (count - 1_500).abs() < 184), "{seats:?}");
    }

    #[test]
    fn distinct_operators_never_sit_together_nor_replace_each_other() {
        let candidates = candidates(15);
        let operator = |node: &PublicIdentity| OPERATORS[usize::from(node.0[0]) % OPERATORS.len()];
        for nonce in 0..200 {
            let draw = facts(nonce).draw(&candidates, 2, true).expect("three operators");
            let mut operators: Vec<_> = draw.committee.iter().chain(&draw.reserves).map(operator).collect();
            operators.sort_unstable();
            assert_eq!(operators, ["amber", "birch", "cedar"]);
        }
        assert_eq!(facts(0).draw(&candidates, 4, true), Err(TooFewCandidates { eligible: 3, members: 4 }));
    }
}
