//! What an operator writes down: one TOML file a node, read strictly.
//!
//! An unknown key, a number out of its range or a key of the wrong form is refused with its name, so that a
//! misspelt limit cannot silently mean "no limit". Relative paths count from the file's own folder.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealgrid_net::KeyExchange;
use sealgrid_seal::identity::PublicIdentity;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fault::Fault;

/// Most bytes of a configuration file.
pub const CONFIG_BYTES_MAX: usize = 1 << 20;

/// One node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Folder of keys, state and log; owned by one process at a time.
    pub data: PathBuf,
    /// Folder of `.sgm` files that this node serves.
    pub models: PathBuf,
    /// The grid's signed directory; read again whenever the file changes.
    pub directory: PathBuf,
    /// Identity of the authority whose directory is believed, 64 hexadecimal digits.
    #[serde(with = "identity")]
    pub authority: PublicIdentity,
    /// What this node does.
    pub roles: BTreeSet<Role>,
    /// Where it listens and whom it lets in.
    #[serde(default)]
    pub network: NetworkConfig,
    /// Bounds.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Whose models it takes in.
    #[serde(default)]
    pub publishing: PublishingConfig,
    /// What it tells its operator.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// Misbehaves on purpose, for demonstrations and tests only. Announced in logs, metrics and to every client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

/// What a node does. A node may have several roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs jobs.
    Compute,
    /// Writes the grid's transparency log; one node of a grid.
    Log,
    /// Watches the log and cosigns what it has checked.
    Witness,
}

/// Where a node listens and whom it lets in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// UDP addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Clients let in beside the directory's nodes.
    pub clients: Clients,
    /// Post-quantum key exchange: `required` or `preferred`.
    #[serde(with = "key_exchange")]
    pub hybrid_key_exchange: KeyExchange,
    /// The grid's own relay for nodes behind address translation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<String>,
    /// Find peers on the local network by mDNS, beside the directory's addresses.
    pub local_discovery: bool,
}

/// Which clients a node lets in.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Clients {
    /// `"anyone"`: whoever has a key.
    Anyone(Anyone),
    /// Exactly these.
    Listed(#[serde(with = "identities")] BTreeSet<PublicIdentity>),
}

/// The word `anyone`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Anyone {
    /// Whoever has a key.
    #[serde(rename = "anyone")]
    Anyone,
}

/// Bounds of a node.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Threads that run models; 0 means one a processor.
    pub workers: u16,
    /// Jobs accepted and not yet answered, of all clients.
    pub jobs_max: u32,
    /// Jobs accepted and not yet answered, of one client.
    pub jobs_per_client_max: u32,
    /// Most operations of one job, in millions: multiply-adds and elements of a record, times records. A core with AVX-512
    /// does about a hundred thousand of these a second, one with plain Rust about ten thousand.
    pub job_mega_operations_max: u32,
    /// Requests of one peer handled at once.
    pub calls_per_peer_max: u32,
    /// Requests of all peers handled at once.
    pub calls_max: u32,
    /// Mebibytes of requests in memory.
    pub request_memory_mib_max: u32,
    /// Mebibytes of prepared models in memory; the least recently used make room.
    pub model_memory_mib_max: u32,
    /// Mebibytes of memory that one proof may take; each worker may be proving one.
    pub proof_memory_mib_max: u32,
    /// Connections taken in.
    pub connections_max: u32,
    /// Seconds that accepted jobs are given to finish when the node is told to stop.
    pub drain_seconds_max: u32,
}

/// Whose models a node takes in, and how much of them. The directory's authority may always publish.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishingConfig {
    /// Owners whose signed models are taken in beside the authority's.
    pub owners: Clients,
    /// Mebibytes of model files on disk.
    pub disk_mib_max: u32,
}

impl Default for PublishingConfig {
    fn default() -> Self {
        Self { owners: Clients::Listed(BTreeSet::new()), disk_mib_max: 4096 }
    }
}

/// What a node tells its operator.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Address of the Prometheus endpoint, `/metrics` over HTTP; loopback only, because it has no login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<SocketAddr>,
    /// Address of a collector of OpenTelemetry traces, `/v1/traces` over HTTP; loopback only, because a trace tells when
    /// which step of a job was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traces: Option<SocketAddr>,
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Longer than [`CONFIG_BYTES_MAX`], not UTF-8, not TOML, or a key or value that is not known.
    #[error("{0}")]
    Malformed(String),
    /// A value out of its range, or two that contradict each other.
    #[error("{key}: {why}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong.
        why: &'static str,
    },
}

impl ConfigError {
    /// The code of the index of errors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "E-USE-40",
            Self::Malformed(_) => "E-USE-41",
            Self::Value { .. } => "E-USE-42",
        }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            clients: Clients::Listed(BTreeSet::new()),
            hybrid_key_exchange: KeyExchange::HybridRequired,
            relay: None,
            local_discovery: false,
        }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            workers: 0,
            jobs_max: 1024,
            jobs_per_client_max: 64,
            job_mega_operations_max: 1_000_000,
            calls_per_peer_max: 64,
            calls_max: 1024,
            request_memory_mib_max: 256,
            model_memory_mib_max: 2048,
            proof_memory_mib_max: 2048,
            connections_max: 1024,
            drain_seconds_max: 30,
        }
    }
}

impl NodeConfig {
    /// Reads and checks a file; relative paths in it count from its folder.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(unreadable)?.len();
        if length > CONFIG_BYTES_MAX as u64 {
            return Err(ConfigError::Malformed(format!("longer than {CONFIG_BYTES_MAX} bytes")));
        }
        let mut config = Self::parse(&std::fs::read(path).map_err(unreadable)?)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for part in [&mut config.data, &mut config.models, &mut config.directory] {
            *part = folder.join(&*part);
        }
        Ok(config)
    }

    /// Reads and checks the bytes of a file.
    ///
    /// # Errors
    /// [`ConfigError::Malformed`] and [`ConfigError::Value`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(ConfigError::Malformed(format!("longer than {CONFIG_BYTES_MAX} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ConfigError::Malformed("not UTF-8".to_owned()))?;
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Malformed(error.to_string().trim().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// The file's text.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration is a TOML table of tables")
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(!self.roles.is_empty(), "roles", "a node without a role does nothing")?;
        require(!self.network.listen.is_empty(), "network.listen", "a node listens on at least one address")?;
        let independent = !(self.roles.contains(&Role::Log) && self.roles.contains(&Role::Witness));
        require(independent, "roles", "the log cannot be its own witness")?;
        self.limits.check()?;
        require(
            (1..=1 << 20).contains(&self.publishing.disk_mib_max),
            "publishing.disk_mib_max",
            "out of its range",
        )?;
        let loopback = self.telemetry.metrics.is_none_or(|address| is_loopback(address.ip()));
        require(loopback, "telemetry.metrics", "the endpoint has no login: give a loopback address")?;
        let loopback = self.telemetry.traces.is_none_or(|address| is_loopback(address.ip()));
        require(loopback, "telemetry.traces", "traces stay on this machine: give a loopback address")
    }
}

impl LimitsConfig {
    /// How long accepted jobs may take when the node stops.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds_max.into())
    }

    /// Most operations of one job.
    #[must_use]
    pub fn operations_max(&self) -> u64 {
        u64::from(self.job_mega_operations_max) * 1_000_000
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(self.workers <= 1024, "limits.workers", "at most 1024")?;
        for (key, value, max) in [
            ("limits.jobs_max", self.jobs_max, 1 << 20),
            ("limits.jobs_per_client_max", self.jobs_per_client_max, 1 << 20),
            ("limits.job_mega_operations_max", self.job_mega_operations_max, u32::MAX),
            ("limits.calls_per_peer_max", self.calls_per_peer_max, 1 << 16),
            ("limits.calls_max", self.calls_max, 1 << 20),
            ("limits.request_memory_mib_max", self.request_memory_mib_max, 1 << 11),
            ("limits.model_memory_mib_max", self.model_memory_mib_max, 1 << 20),
            ("limits.proof_memory_mib_max", self.proof_memory_mib_max, 1 << 20),
            ("limits.connections_max", self.connections_max, 1 << 20),
        ] {
            require((1..=max).contains(&value), key, "out of its range")?;
        }
        require(self.drain_seconds_max <= 3600, "limits.drain_seconds_max", "at most an hour")
    }
}

fn require(holds: bool, key: &'static str, why: &'static str) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(ConfigError::Value { key, why }) }
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

/// Reads an identity from 64 hexadecimal digits.
#[must_use]
pub fn parse_identity(text: &str) -> Option<PublicIdentity> {
    let bytes = hex::decode(text).ok()?;
    Some(PublicIdentity(bytes.try_into().ok()?))
}

mod identity {
    use super::{Deserialize, Deserializer, PublicIdentity, Serializer, parse_identity};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(identity: &PublicIdentity, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(identity)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<PublicIdentity, D::Error> {
        let text = String::deserialize(d)?;
        parse_identity(&text).ok_or_else(|| D::Error::custom("an identity is 64 hexadecimal digits"))
    }
}

mod identities {
    use super::{BTreeSet, Deserialize, Deserializer, PublicIdentity, Serializer, parse_identity};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(set: &BTreeSet<PublicIdentity>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(set.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeSet<PublicIdentity>, D::Error> {
        let texts = Vec::<String>::deserialize(d)?;
        let read = |text: &String| {
            parse_identity(text).ok_or_else(|| D::Error::custom("an identity is 64 hexadecimal digits"))
        };
        texts.iter().map(read).collect()
    }
}

mod key_exchange {
    use super::{Deserialize, Deserializer, KeyExchange, Serializer};
    use serde::de::Error as _;

    pub(super) fn serialize<S: Serializer>(choice: &KeyExchange, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(match choice {
            KeyExchange::HybridRequired => "required",
            KeyExchange::HybridPreferred => "preferred",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<KeyExchange, D::Error> {
        match String::deserialize(d)?.as_str() {
            "required" => Ok(KeyExchange::HybridRequired),
            "preferred" => Ok(KeyExchange::HybridPreferred),
            _ => Err(D::Error::custom("hybrid_key_exchange is \"required\" or \"preferred\"")),
        }
    }
}

impl Clients {
    /// Whether `identity` is among them.
    #[must_use]
    pub fn contains(&self, identity: &PublicIdentity) -> bool {
        match self {
            Self::Anyone(_) => true,
            Self::Listed(listed) => listed.contains(identity),
        }
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| D::Error::custom("a fault is \"lie\", \"slow\" or \"crash\""))
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Reads a configuration: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_parse(bytes: &[u8]) {
    if let Ok(config) = NodeConfig::parse(bytes) {
        let again = NodeConfig::parse(config.to_toml().as_bytes());
        assert_eq!(again.ok().as_ref(), Some(&config), "a configuration survives being written and read");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        data = "data"
        models = "models"
        directory = "grid.directory"
        authority = "0101010101010101010101010101010101010101010101010101010101010101"
        roles = ["compute"]
    "#;

    fn with(line: &str) -> Result<NodeConfig, ConfigError> {
        NodeConfig::parse(format!("{SMALL}\n{line}").as_bytes())
    }

    #[test]
    fn a_small_file_takes_the_defaults_and_comes_back_from_its_text() {
        let config = with("").expect("valid");
        assert_eq!(config.authority, PublicIdentity([1; 32]));
        assert_eq!(config.limits, LimitsConfig::default());
        assert_eq!(
            config.network.clients,
            Clients::Listed(BTreeSet::new()),
            "nobody unless somebody is named"
        );
        assert_eq!(NodeConfig::parse(config.to_toml().as_bytes()).expect("valid"), config);
    }

    #[test]
    fn everything_can_be_said() {
        let config = with(
            r#"
            fault = "lie"
            [network]
            listen = ["127.0.0.1:4433", "[::1]:4433"]
            clients = "anyone"
            hybrid_key_exchange = "preferred"
            relay = "https://relay.example"
            local_discovery = true
            [limits]
            jobs_max = 7
            [publishing]
            owners = "anyone"
            disk_mib_max = 10
            [telemetry]
            metrics = "127.0.0.1:9100"
            traces = "127.0.0.1:4318"
        "#,
        )
        .expect("valid");
        assert_eq!(config.fault, Some(Fault::Lie));
        assert_eq!(config.network.clients, Clients::Anyone(Anyone::Anyone));
        assert_eq!(NodeConfig::parse(config.to_toml().as_bytes()).expect("valid"), config);
    }

    #[test]
    fn unknown_keys_words_and_forms_are_refused() {
        for line in [
            "colour = 1",
            "fault = \"sulk\"",
            "[limits]\njobs = 3",
            "[limits]\njobs_max = -1",
            "[network]\nclients = \"somebody\"",
            "[network]\nclients = [\"abc\"]",
            "[network]\nhybrid_key_exchange = \"off\"",
            "[network]\nlisten = [\"localhost:1\"]",
            "= 1",
        ] {
            assert_eq!(with(line).expect_err(line).code(), "E-USE-41", "{line}");
        }
        assert_eq!(NodeConfig::parse(&[0xff]).expect_err("not text").code(), "E-USE-41");
        assert_eq!(
            NodeConfig::parse(&vec![b' '; CONFIG_BYTES_MAX + 1]).expect_err("long").code(),
            "E-USE-41"
        );
    }

    #[test]
    fn values_out_of_range_and_contradictions_are_refused() {
        for line in [
            "[limits]\njobs_max = 0",
            "[limits]\nworkers = 2000",
            "[publishing]\ndisk_mib_max = 0",
            "[limits]\ndrain_seconds_max = 4000",
            "[network]\nlisten = []",
            "[telemetry]\nmetrics = \"0.0.0.0:9100\"",
        ] {
            assert_eq!(with(line).expect_err(line).code(), "E-USE-42", "{line}");
        }
        for roles in ["[]", "[\"log\", \"witness\"]"] {
            let text = SMALL.replace("[\"compute\"]", roles);
            assert_eq!(NodeConfig::parse(text.as_bytes()).expect_err(roles).code(), "E-USE-42");
        }
    }

    #[test]
    fn a_missing_file_has_its_code_and_paths_count_from_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("node.toml");
        assert_eq!(NodeConfig::load(&path).expect_err("missing").code(), "E-USE-40");
        std::fs::write(&path, SMALL).expect("written");
        assert_eq!(NodeConfig::load(&path).expect("valid").data, folder.path().join("data"));
    }
}
