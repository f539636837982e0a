//! What tests of the whole grid share: the simulator of conversations, dishonest parts, the contracts of executors and proof systems.
//!
//! [`simulate`] performs the effects of the protocol's machines in virtual time, with everything that networks, disks
//! and peers do to them, from one printed seed. [`liar`] holds the dishonest parts. [`executor`] is the suite that every
//! [`sealgrid_graph::execute::Executor`] passes, [`proving`] that of every [`sealgrid_graph::proving::ProofSystem`].

pub mod simulate;

pub mod liar;

pub mod executor;

pub mod proving;
