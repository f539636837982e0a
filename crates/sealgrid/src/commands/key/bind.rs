//! `sealgrid key bind` and `sealgrid key bound`: an owner's wallet says which key speaks for it.
//!
//! The wallet may be anything that signs typed data (EIP-712): a browser's, a phone's, a hardware one. Its key never comes
//! here; a request goes out as the JSON that wallets take, and the signature comes back as text.

use std::path::PathBuf;

use sealgrid_seal::identity::PublicIdentity;
use sealgrid_seal::keystore::{KeyStore, PublicKey};
use sealgrid_seal::wallet::{
    BINDING, BINDING_LENGTH_MAX, Binding, WalletAddress, WalletError, WalletSignature,
};

use crate::failure::{Failure, unreadable, unwritable};
use crate::output::Report;

/// A request is a few hundred bytes.
const REQUEST_LENGTH_MAX: u64 = 4096;
const DAY_SECONDS: u64 = 24 * 3600;

/// Let a wallet say that a key speaks for it.
#[derive(Debug, clap::Args)]
pub(super) struct Bind {
    /// The key's name or identifier.
    key: String,
    /// File of the request: written first, read again with `--signature`.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// The wallet's address, for a request.
    #[arg(long, value_name = "0x…", value_parser = address, required_unless_present = "signature")]
    wallet: Option<WalletAddress>,
    /// Chain that the wallet is shown; a binding for one chain is none for another.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "signature")]
    chain_id: u64,
    /// How long the key may speak for the wallet.
    #[arg(long, value_name = "DAYS", default_value_t = 365, conflicts_with = "signature",
        value_parser = clap::value_parser!(u64).range(1..=3650))]
    days: u64,
    /// What the wallet answered: its signature of the request.
    #[arg(long, value_name = "0x…", value_parser = signature, conflicts_with = "wallet")]
    signature: Option<WalletSignature>,
    /// File of the binding [default: the request's name with `.binding`].
    #[arg(long, value_name = "FILE", requires = "signature")]
    out: Option<PathBuf>,
}

/// Check a wallet's binding.
#[derive(Debug, clap::Args)]
pub(super) struct Bound {
    /// File of the binding.
    binding: PathBuf,
}

fn address(text: &str) -> Result<WalletAddress, WalletError> {
    text.parse()
}

fn signature(text: &str) -> Result<WalletSignature, WalletError> {
    text.parse()
}

impl Bind {
    /// Carries out the command.
    pub(super) fn run(self, store: &dyn KeyStore) -> Result<Report, Failure> {
        let info = super::find(store, &self.key)?;
        let PublicKey::Ed25519(identity) = info.public else {
            return Err(Failure::new("E-KEY-25", format!("{} does not sign", info.name))
                .hint("sealgrid key new NAME --for owner"));
        };
        match (self.signature, self.wallet) {
            (Some(by_wallet), _) => {
                let binding = self.read_request(&identity)?;
                let payload = binding.clone().payload(by_wallet).map_err(|error| failed(&error))?;
                let bytes =
                    store.sign(&info.id, &BINDING, &payload).map_err(|error| super::failed(&error))?;
                let out = self.out.unwrap_or_else(|| self.request.with_extension("binding"));
                std::fs::write(&out, bytes).map_err(|error| unwritable(&out, &error))?;
                let text = format!("{}\nbinding in {}", sentence(&binding), out.display());
                let mut json = json(&binding);
                json["file"] = out.display().to_string().into();
                Ok(Report::new(text, json))
            }
            (None, Some(wallet)) => self.write_request(identity, wallet),
            (None, None) => Err(Failure::new("E-USE-01", "neither a wallet nor its signature is given")
                .hint("sealgrid key bind --help")),
        }
    }

    fn write_request(&self, identity: PublicIdentity, wallet: WalletAddress) -> Result<Report, Failure> {
        let now = crate::now() / 1000;
        let binding = Binding {
            wallet,
            identity,
            chain_id: self.chain_id,
            issued_seconds: now,
            expires_seconds: now + self.days * DAY_SECONDS,
        };
        let asked = binding.to_typed_data_json();
        std::fs::write(&self.request, format!("{asked}\n"))
            .map_err(|error| unwritable(&self.request, &error))?;
        let request = self.request.display();
        let text = format!(
            "request in {request}\nlet the wallet sign it as typed data (eth_signTypedData_v4, EIP-712), then:\n\
             sealgrid key bind {} --request {request} --signature 0x…",
            self.key
        );
        let mut json = json(&binding);
        json["request"] = self.request.display().to_string().into();
        Ok(Report::new(text, json))
    }

    fn read_request(&self, identity: &PublicIdentity) -> Result<Binding, Failure> {
        let bytes = read(&self.request, REQUEST_LENGTH_MAX)?;
        let binding = std::str::from_utf8(&bytes).ok().and_then(Binding::from_typed_data_json);
        binding.filter(|binding| binding.identity == *identity).ok_or_else(|| {
            Failure::new("E-KEY-96", format!("{} is no request for {}", self.request.display(), self.key))
                .why("it was changed, or written for another key; a wallet must be shown exactly what is bound")
                .hint(format!(
                    "sealgrid key bind {} --wallet 0x… --request {}",
                    self.key,
                    self.request.display()
                ))
        })
    }
}

impl Bound {
    /// Carries out the command.
    pub(super) fn run(self) -> Result<Report, Failure> {
        let bytes = read(&self.binding, BINDING_LENGTH_MAX as u64)?;
        let binding = Binding::verify(&bytes, crate::now() / 1000).map_err(|error| failed(&error))?;
        Ok(Report::new(format!("{}\nboth signatures hold", sentence(&binding)), json(&binding)))
    }
}

/// Reads a file, one byte more than it may have at most, so that a longer one fails where it is parsed.
fn read(path: &std::path::Path, length_max: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(length_max + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn failed(error: &WalletError) -> Failure {
    Failure::new(error.code(), error.to_string())
}

fn sentence(binding: &Binding) -> String {
    let until = std::time::UNIX_EPOCH + std::time::Duration::from_secs(binding.expires_seconds);
    format!(
        "identity {} speaks for wallet {} on chain {} until {}",
        binding.identity,
        binding.wallet,
        binding.chain_id,
        humantime::format_rfc3339_seconds(until)
    )
}

fn json(binding: &Binding) -> serde_json::Value {
    serde_json::json!({
        "wallet": binding.wallet.to_string(),
        "identity": binding.identity.to_string(),
        "chain_id": binding.chain_id,
        "issued_seconds": binding.issued_seconds,
        "expires_seconds": binding.expires_seconds,
    })
}

#[cfg(test)]
mod tests {
    use sealgrid_seal::keystore::Purpose;
    use sealgrid_seal::secret::{Secret, SecretBytes};
    use sealgrid_seal::wallet::SoftwareWallet;

    use super::*;

    fn bind(dir: &std::path::Path, wallet: Option<WalletAddress>, by: Option<WalletSignature>) -> Bind {
        Bind {
            key: "clinic".to_owned(),
            request: dir.join("clinic.json"),
            wallet,
            chain_id: 31_337,
            days: 30,
            signature: by,
            out: None,
        }
    }

    #[test]
    fn a_wallet_lets_a_key_speak_for_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let store = super::super::open(&dir.path().join("keys"), SecretBytes::new(b"correct horse".to_vec()))
            .expect("made");
        super::super::made(&store, "clinic", Purpose::Owner).expect("made");
        let wallet = SoftwareWallet::from_secret(&Secret::new([7; 32])).expect("a key");
        let stranger = SoftwareWallet::from_secret(&Secret::new([8; 32])).expect("a key");

        bind(dir.path(), Some(wallet.address()), None).run(&store).expect("asked");
        let request = std::fs::read_to_string(dir.path().join("clinic.json")).expect("written");
        let asked = Binding::from_typed_data_json(&request).expect("a request");
        let code = |outcome: Result<Report, Failure>| outcome.err().map(|failure| failure.code);
        let other = stranger.sign(&asked.digest());
        assert_eq!(code(bind(dir.path(), None, Some(other)).run(&store)).as_deref(), Some("E-KEY-34"));
        bind(dir.path(), None, Some(wallet.sign(&asked.digest()))).run(&store).expect("bound");

        let bound = || Bound { binding: dir.path().join("clinic.binding") };
        let report = bound().run().expect("holds");
        assert!(report.text.contains(&wallet.address().to_string()), "{}", report.text);
        let mut bytes = std::fs::read(dir.path().join("clinic.binding")).expect("written");
        *bytes.last_mut().expect("a byte") ^= 1;
        std::fs::write(dir.path().join("clinic.binding"), bytes).expect("written");
        assert!(code(bound().run()).is_some());

        // A request that was changed after it was written is none.
        std::fs::write(dir.path().join("clinic.json"), request.replace("31337", "1")).expect("written");
        let by_wallet = wallet.sign(&asked.digest());
        assert_eq!(code(bind(dir.path(), None, Some(by_wallet)).run(&store)).as_deref(), Some("E-KEY-34"));
        std::fs::write(dir.path().join("clinic.json"), request.replace("uint64", "uint32")).expect("written");
        assert_eq!(code(bind(dir.path(), None, Some(by_wallet)).run(&store)).as_deref(), Some("E-KEY-96"));
    }
}
