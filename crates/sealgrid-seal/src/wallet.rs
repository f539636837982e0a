//! Owners' wallets as identities: secp256k1 with address recovery, `personal_sign` (EIP-191) and typed data (EIP-712).
//!
//! A wallet does not speak our statements, so an owner lets it sign one sentence that people can read in the wallet: *this
//! Ed25519 identity speaks for me until then* ([`Binding`]). The identity signs the same, so nobody can claim a
//! stranger's wallet or a stranger's key. From then on the identity signs, and the binding travels with it.

use std::fmt;

use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use sha3::{Digest as _, Keccak256};

use crate::canonical;
use crate::digest::labels;
use crate::identity::{PublicIdentity, SigningIdentity};
use crate::secret::Secret;
use crate::statement::{self, Kind, StatementError, Unverified};

/// Why a wallet's word is not accepted.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum WalletError {
    /// Not `0x` and 40 hexadecimal digits, or a wrong EIP-55 checksum.
    #[error("not a wallet address")]
    BadAddress,
    /// Not a signature: out of range, high `s` (EIP-2), or a recovery byte other than 27 or 28.
    #[error("not a wallet signature")]
    BadSignature,
    /// A signature, but of another wallet or over something else.
    #[error("signed by another wallet")]
    OtherWallet,
    /// The binding is not valid at this time.
    #[error("binding is valid from {issued} until {expires} (seconds since 1970)")]
    NotNow {
        /// First second.
        issued: u64,
        /// First second after.
        expires: u64,
    },
    /// The identity's side of a binding.
    #[error(transparent)]
    Statement(#[from] StatementError),
}

impl WalletError {
    /// The code in docs/reference/errors/seal.md.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadAddress => "E-KEY-32",
            Self::BadSignature => "E-KEY-33",
            Self::OtherWallet => "E-KEY-34",
            Self::NotNow { .. } => "E-KEY-35",
            Self::Statement(error) => error.code(),
        }
    }
}

/// The last 20 bytes of the Keccak-256 of an uncompressed public key. Written with the checksum of EIP-55.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct WalletAddress(#[cbor(with = "minicbor::bytes")] pub [u8; 20]);

impl WalletAddress {
    fn of(key: &VerifyingKey) -> Self {
        let point = key.to_sec1_point(false);
        let digest = keccak(&[&point.as_bytes()[1..]]);
        let (_, last) = digest.split_last_chunk().expect("32 bytes are more than 20");
        Self(*last)
    }
}

impl std::str::FromStr for WalletAddress {
    type Err = WalletError;

    /// Reads an address: all lower case, all upper case, or with a right checksum.
    fn from_str(text: &str) -> Result<Self, WalletError> {
        let digits =
            text.strip_prefix("0x").filter(|digits| digits.len() == 40).ok_or(WalletError::BadAddress)?;
        let mut bytes = [0; 20];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| WalletError::BadAddress)?;
        let address = Self(bytes);
        let one_case = digits == digits.to_lowercase() || digits == digits.to_uppercase();
        if one_case || address.to_string() == text { Ok(address) } else { Err(WalletError::BadAddress) }
    }
}

impl fmt::Display for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = hex::encode(self.0);
        let checksum = keccak(&[digits.as_bytes()]);
        f.write_str("0x")?;
        for (index, digit) in digits.chars().enumerate() {
            let nibble = checksum[index / 2] >> (4 * (1 - index % 2)) & 0xf;
            write!(f, "{}", if nibble >= 8 { digit.to_ascii_uppercase() } else { digit })?;
        }
        Ok(())
    }
}

impl fmt::Debug for WalletAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletAddress({self})")
    }
}

/// `r || s || v`, 65 bytes, `v` 27 or 28, as wallets give it out.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct WalletSignature(#[cbor(with = "minicbor::bytes")] pub [u8; 65]);

impl WalletSignature {
    /// The wallet that signed `digest`. Every digest and valid signature recover *some* wallet: compare.
    ///
    /// # Errors
    /// [`WalletError::BadSignature`].
    pub fn recover(&self, digest: &[u8; 32]) -> Result<WalletAddress, WalletError> {
        Ok(WalletAddress::of(&self.recover_key(digest).ok_or(WalletError::BadSignature)?))
    }

    fn recover_key(&self, digest: &[u8; 32]) -> Option<VerifyingKey> {
        let (signature, v) = self.0.split_at(64);
        let signature = Signature::from_slice(signature).ok()?;
        if signature.normalize_s() != signature {
            return None;
        }
        let recovery = match v[0] {
            27 => RecoveryId::new(false, false),
            28 => RecoveryId::new(true, false),
            _ => return None,
        };
        let key = VerifyingKey::recover_from_prehash(digest, &signature, recovery).ok()?;
        // Recovery does not by itself make sure that the signature holds for the key it yields.
        k256::ecdsa::signature::hazmat::PrehashVerifier::verify_prehash(&key, digest, &signature).ok()?;
        Some(key)
    }

    /// Checks that `wallet` signed `digest`.
    ///
    /// # Errors
    /// [`WalletError::BadSignature`], [`WalletError::OtherWallet`].
    pub fn verify(&self, wallet: &WalletAddress, digest: &[u8; 32]) -> Result<(), WalletError> {
        if self.recover(digest)? == *wallet { Ok(()) } else { Err(WalletError::OtherWallet) }
    }
}

impl std::str::FromStr for WalletSignature {
    type Err = WalletError;

    /// Reads `0x` and 130 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, WalletError> {
        let digits = text.strip_prefix("0x").ok_or(WalletError::BadSignature)?;
        let mut bytes = [0; 65];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| WalletError::BadSignature)?;
        Ok(Self(bytes))
    }
}

impl fmt::Debug for WalletSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletSignature({}..)", hex::encode(&self.0[..4]))
    }
}

/// What `personal_sign` signs (EIP-191, version 0x45).
#[must_use]
pub fn personal_digest(message: &[u8]) -> [u8; 32] {
    let prefix = format!("\x19Ethereum Signed Message:\n{}", message.len());
    keccak(&[prefix.as_bytes(), message])
}

/// A wallet held in this process; its key is wiped when dropped.
pub struct SoftwareWallet(SigningKey);

impl SoftwareWallet {
    /// A fresh wallet drawn from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        // One in 2^128 draws is no scalar.
        loop {
            if let Ok(wallet) = Self::from_secret(&Secret::random(rng)) {
                return wallet;
            }
        }
    }

    /// The wallet of a stored private key.
    ///
    /// # Errors
    /// [`WalletError::BadSignature`] when the bytes are zero or not below the curve's order.
    pub fn from_secret(secret: &Secret<32>) -> Result<Self, WalletError> {
        SigningKey::from_slice(secret.expose()).map(Self).map_err(|_| WalletError::BadSignature)
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> WalletAddress {
        WalletAddress::of(self.0.verifying_key())
    }

    /// Signs a digest of [`personal_digest`], [`TypedData::digest`] or [`Binding::digest`].
    #[must_use]
    pub fn sign(&self, digest: &[u8; 32]) -> WalletSignature {
        let (signature, recovery) = self.0.sign_prehash_recoverable(digest);
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&signature.to_bytes());
        bytes[64] = 27 + u8::from(recovery.is_y_odd());
        WalletSignature(bytes)
    }
}

impl fmt::Debug for SoftwareWallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SoftwareWallet({}, ..)", self.address())
    }
}

/// A structure type of EIP-712.
#[derive(Clone, Copy, Debug)]
pub struct StructType {
    /// Its name.
    pub name: &'static str,
    /// Its members: type as written, name.
    pub members: &'static [(&'static str, &'static str)],
    /// Structure types that members use.
    pub uses: &'static [&'static StructType],
}

/// A value of EIP-712.
#[derive(Clone, Debug)]
pub enum TypedValue {
    /// `uint64` and smaller.
    Uint(u64),
    /// `bytes32`.
    Bytes32([u8; 32]),
    /// `address`.
    Address(WalletAddress),
    /// `string`.
    Text(String),
    /// `bytes`.
    Bytes(Vec<u8>),
    /// `bool`.
    Bool(bool),
    /// An array.
    Array(Vec<TypedValue>),
    /// A structure.
    Struct(&'static StructType, Vec<TypedValue>),
}

/// A message of a type, within a domain.
#[derive(Clone, Debug)]
pub struct TypedData {
    /// The domain, a structure named `EIP712Domain`.
    pub domain: (&'static StructType, Vec<TypedValue>),
    /// The message.
    pub message: (&'static StructType, Vec<TypedValue>),
}

impl TypedData {
    /// `keccak256(0x19 || 0x01 || domain separator || hash of the message)`.
    ///
    /// # Panics
    /// If a structure has more or fewer values than its type has members.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let domain = hash_struct(self.domain.0, &self.domain.1);
        let message = hash_struct(self.message.0, &self.message.1);
        keccak(&[b"\x19\x01", &domain, &message])
    }
}

fn hash_struct(of: &StructType, values: &[TypedValue]) -> [u8; 32] {
    assert_eq!(values.len(), of.members.len(), "{} takes one value per member", of.name);
    let mut encoded = keccak(&[encode_type(of).as_bytes()]).to_vec();
    for value in values {
        encoded.extend_from_slice(&encode_value(value));
    }
    keccak(&[&encoded])
}

/// The type, then every structure type it reaches, sorted by name.
fn encode_type(of: &StructType) -> String {
    let mut reached: Vec<&StructType> = Vec::new();
    let mut open: Vec<&StructType> = of.uses.to_vec();
    while let Some(next) = open.pop() {
        if next.name != of.name && reached.iter().all(|known| known.name != next.name) {
            reached.push(next);
            open.extend(next.uses);
        }
    }
    reached.sort_unstable_by_key(|known| known.name);
    std::iter::once(of).chain(reached).map(write_type).collect()
}

fn write_type(of: &StructType) -> String {
    let members: Vec<String> = of.members.iter().map(|(kind, name)| format!("{kind} {name}")).collect();
    format!("{}({})", of.name, members.join(","))
}

fn encode_value(value: &TypedValue) -> [u8; 32] {
    let mut word = [0; 32];
    match value {
        TypedValue::Uint(number) => word[24..].copy_from_slice(&number.to_be_bytes()),
        TypedValue::Bool(truth) => word[31] = u8::from(*truth),
        TypedValue::Address(address) => word[12..].copy_from_slice(&address.0),
        TypedValue::Bytes32(bytes) => word = *bytes,
        TypedValue::Text(text) => word = keccak(&[text.as_bytes()]),
        TypedValue::Bytes(bytes) => word = keccak(&[bytes]),
        TypedValue::Array(values) => {
            let words: Vec<u8> = values.iter().flat_map(encode_value).collect();
            word = keccak(&[&words]);
        }
        TypedValue::Struct(of, values) => word = hash_struct(of, values),
    }
    word
}

fn keccak(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Keccak256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// *This identity speaks for this wallet until then.*
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Binding {
    /// Who lets the identity speak.
    #[n(0)]
    pub wallet: WalletAddress,
    /// Who may speak.
    #[n(1)]
    pub identity: PublicIdentity,
    /// Chain that the wallet was shown, so that one for a test chain is none for the real one.
    #[n(2)]
    pub chain_id: u64,
    /// From when, in seconds since the Unix epoch.
    #[n(3)]
    pub issued_seconds: u64,
    /// Until when (exclusive), in seconds since the Unix epoch.
    #[n(4)]
    pub expires_seconds: u64,
}

/// The kind of statement a binding travels as.
pub const BINDING: Kind =
    Kind { label: labels::WALLET_BINDING, content_type: "application/sealgrid-wallet-binding+cbor" };

/// Bytes of a signed binding at most.
pub const BINDING_LENGTH_MAX: usize = 512;

static DOMAIN: StructType = StructType {
    name: "EIP712Domain",
    members: &[("string", "name"), ("string", "version"), ("uint256", "chainId")],
    uses: &[],
};

static BINDING_TYPE: StructType = StructType {
    name: "IdentityBinding",
    members: &[
        ("address", "wallet"),
        ("bytes32", "identity"),
        ("uint64", "issuedSeconds"),
        ("uint64", "expiresSeconds"),
    ],
    uses: &[],
};

#[derive(Encode, Decode)]
#[cbor(array)]
struct SignedBinding {
    #[n(0)]
    binding: Binding,
    #[n(1)]
    by_wallet: WalletSignature,
}

impl Binding {
    /// What the wallet signs.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.typed_data().digest()
    }

    fn typed_data(&self) -> TypedData {
        TypedData {
            domain: (
                &DOMAIN,
                vec![
                    TypedValue::Text("Sealgrid".into()),
                    TypedValue::Text("1".into()),
                    TypedValue::Uint(self.chain_id),
                ],
            ),
            message: (
                &BINDING_TYPE,
                vec![
                    TypedValue::Address(self.wallet),
                    TypedValue::Bytes32(self.identity.0),
                    TypedValue::Uint(self.issued_seconds),
                    TypedValue::Uint(self.expires_seconds),
                ],
            ),
        }
    }

    /// The argument of `eth_signTypedData_v4`, for wallets outside this process.
    #[must_use]
    pub fn to_typed_data_json(&self) -> String {
        let members = |of: &StructType| {
            let members: Vec<String> = of
                .members
                .iter()
                .map(|(kind, name)| format!(r#"{{"name":"{name}","type":"{kind}"}}"#))
                .collect();
            format!(r#""{}":[{}]"#, of.name, members.join(","))
        };
        format!(
            r#"{{"types":{{{},{}}},"primaryType":"{}","domain":{{"name":"Sealgrid","version":"1","chainId":{}}},"message":{{"wallet":"{}","identity":"0x{}","issuedSeconds":"{}","expiresSeconds":"{}"}}}}"#,
            members(&DOMAIN),
            members(&BINDING_TYPE),
            BINDING_TYPE.name,
            self.chain_id,
            self.wallet,
            self.identity,
            self.issued_seconds,
            self.expires_seconds,
        )
    }

    /// Reads what [`Binding::to_typed_data_json`] wrote; nothing else, so that what a wallet is shown is what is bound.
    /// `None` for any other text.
    #[must_use]
    pub fn from_typed_data_json(text: &str) -> Option<Self> {
        let text = text.trim();
        let after = |name: &str| {
            let start = text.find(name)? + name.len();
            Some(&text[start..start + text[start..].find(['"', '}'])?])
        };
        let mut identity = [0; 32];
        hex::decode_to_slice(after(r#""identity":"0x"#)?, &mut identity).ok()?;
        let binding = Self {
            wallet: after(r#""message":{"wallet":""#)?.parse().ok()?,
            identity: PublicIdentity(identity),
            chain_id: after(r#""chainId":"#)?.parse().ok()?,
            issued_seconds: after(r#""issuedSeconds":""#)?.parse().ok()?,
            expires_seconds: after(r#""expiresSeconds":""#)?.parse().ok()?,
        };
        (binding.to_typed_data_json() == text).then_some(binding)
    }

    /// What the identity signs once the wallet has signed: the payload of a statement of kind [`BINDING`]. For identities
    /// whose key a store holds.
    ///
    /// # Errors
    /// [`WalletError::BadSignature`], [`WalletError::OtherWallet`].
    pub fn payload(self, by_wallet: WalletSignature) -> Result<Vec<u8>, WalletError> {
        by_wallet.verify(&self.wallet, &self.digest())?;
        Ok(canonical::encode(&SignedBinding { binding: self, by_wallet }))
    }

    /// The binding with both signatures. The wallet's comes first and is what `identity` then signs.
    ///
    /// # Errors
    /// [`WalletError::BadSignature`], [`WalletError::OtherWallet`].
    pub fn sign(
        self,
        identity: &SigningIdentity,
        by_wallet: WalletSignature,
    ) -> Result<Vec<u8>, WalletError> {
        Ok(statement::sign(identity, &BINDING, &self.payload(by_wallet)?))
    }

    /// Reads a binding that both signed and that holds at `now_seconds`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub fn verify(bytes: &[u8], now_seconds: u64) -> Result<Self, WalletError> {
        let statement = Unverified::parse(bytes, BINDING_LENGTH_MAX)?.verify_claimed(&BINDING)?;
        let SignedBinding { binding, by_wallet } = statement.value()?;
        if statement.signer() != binding.identity {
            let (expected, actual) = (binding.identity, statement.signer());
            return Err(StatementError::OtherSigner { expected, actual }.into());
        }
        by_wallet.verify(&binding.wallet, &binding.digest())?;
        let (issued, expires) = (binding.issued_seconds, binding.expires_seconds);
        if !(issued..expires).contains(&now_seconds) {
            return Err(WalletError::NotNow { issued, expires });
        }
        Ok(binding)
    }
}

/// Reads a binding: what the fuzzer and the corpus replay call.
#[doc(hidden)]
pub fn fuzz_verify(bytes: &[u8]) {
    let _ = Binding::verify(bytes, 0);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = text.parse::<WalletAddress>();
        let _ = text.parse::<WalletSignature>();
        let _ = Binding::from_typed_data_json(text);
    }
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;

    use super::*;
    use crate::frozen::{bytes, json};

    fn hex32(text: &str) -> [u8; 32] {
        hex::decode(text).expect("hexadecimal").try_into().expect("32 bytes")
    }

    fn signature(r: &str, s: &str, v: u8) -> WalletSignature {
        let mut bytes = [0; 65];
        bytes[..32].copy_from_slice(&hex32(r));
        bytes[32..64].copy_from_slice(&hex32(s));
        bytes[64] = v;
        WalletSignature(bytes)
    }

    /// The four addresses of mixed case in EIP-55.
    #[test]
    fn addresses_carry_the_checksum_of_eip_55() {
        for text in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
        ] {
            let address: WalletAddress = text.parse().expect("an address");
            assert_eq!(address.to_string(), text);
            assert_eq!(text.to_lowercase().parse(), Ok(address));
            let wrong = text.replacen(|c: char| c.is_ascii_uppercase(), "a", 1);
            assert_eq!(wrong.parse::<WalletAddress>().expect_err("checksum").code(), "E-KEY-32");
        }
        assert_eq!("0x5aAe".parse::<WalletAddress>(), Err(WalletError::BadAddress));
    }

    /// The example of the web3.js documentation, `eth.accounts.sign`.
    #[test]
    fn personal_sign_is_that_of_wallets() {
        let digest = personal_digest(b"Some data");
        assert_eq!(digest, hex32("1da44b586eb0729ff70a73c326926f6ed5a25f5b056e7f47fbc6e58d86871655"));
        let expected = signature(
            "b91467e570a6466aa9e9876cbcd013baba02900b8979d43fe208a4a4f339f5fd",
            "6007e74cd82e037b800186422fc2da167c747ef045e5d18a5f5d4300f8e1a029",
            28,
        );
        let secret = Secret::new(hex32("4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"));
        let wallet = SoftwareWallet::from_secret(&secret).expect("a scalar");
        assert_eq!(wallet.address().to_string(), "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23");
        assert_eq!(expected.verify(&wallet.address(), &digest), Ok(()));
        assert_eq!(wallet.sign(&digest), expected);
    }

    static PERSON: StructType =
        StructType { name: "Person", members: &[("string", "name"), ("address", "wallet")], uses: &[] };
    static MAIL: StructType = StructType {
        name: "Mail",
        members: &[("Person", "from"), ("Person", "to"), ("string", "contents")],
        uses: &[&PERSON],
    };
    static MAIL_DOMAIN: StructType = StructType {
        name: "EIP712Domain",
        members: &[
            ("string", "name"),
            ("string", "version"),
            ("uint256", "chainId"),
            ("address", "verifyingContract"),
        ],
        uses: &[],
    };

    /// The example of EIP-712 (assets/eip-712/Example.js).
    #[test]
    fn typed_data_is_that_of_eip_712() {
        let address = |text: &str| TypedValue::Address(text.to_lowercase().parse().expect("an address"));
        let person = |name: &str, wallet| {
            TypedValue::Struct(&PERSON, vec![TypedValue::Text(name.into()), address(wallet)])
        };
        let data = TypedData {
            domain: (
                &MAIL_DOMAIN,
                vec![
                    TypedValue::Text("Ether Mail".into()),
                    TypedValue::Text("1".into()),
                    TypedValue::Uint(1),
                    address("0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"),
                ],
            ),
            message: (
                &MAIL,
                vec![
                    person("Cow", "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"),
                    person("Bob", "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"),
                    TypedValue::Text("Hello, Bob!".into()),
                ],
            ),
        };
        assert_eq!(
            encode_type(&MAIL),
            "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
        );
        assert_eq!(
            hash_struct(data.domain.0, &data.domain.1),
            hex32("f2cee375fa42b42143804025fc449deafd50cc031ca257e0b194a650a912090f")
        );
        assert_eq!(
            hash_struct(data.message.0, &data.message.1),
            hex32("c52c0ee5d84264471806290a3f2c4cecfc5490626bf912d01f240d7a274b371e")
        );
        assert_eq!(data.digest(), hex32("be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"));
        let signature = signature(
            "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d",
            "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562",
            28,
        );
        let cow = SoftwareWallet::from_secret(&Secret::new(keccak(&[b"cow"]))).expect("a scalar");
        assert_eq!(signature.verify(&cow.address(), &data.digest()), Ok(()));
    }

    #[test]
    fn arrays_and_small_values_take_one_word() {
        let of_two = TypedValue::Array(vec![TypedValue::Bool(true), TypedValue::Uint(2)]);
        let mut words = [0; 64];
        (words[31], words[63]) = (1, 2);
        assert_eq!(encode_value(&of_two), keccak(&[&words]));
        assert_eq!(encode_value(&TypedValue::Bytes(b"abc".to_vec())), keccak(&[b"abc"]));
    }

    #[test]
    fn recovery_is_as_wycheproof_says() {
        let order = hex32("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141");
        let half = hex32("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0");
        let cases = json("wycheproof_secp256k1.json");
        assert!(cases.len() >= 250);
        let mut accepted = 0;
        for case in cases {
            let digest: [u8; 32] = Sha256::digest(bytes(&case, "msg")).into();
            let public = bytes(&case, "public");
            let signature: Result<[u8; 64], _> = bytes(&case, "sig").try_into();
            let recovers = signature.is_ok_and(|signature| {
                [27, 28].into_iter().any(|v| {
                    let mut bytes = [v; 65];
                    bytes[..64].copy_from_slice(&signature);
                    let key = WalletSignature(bytes).recover_key(&digest);
                    key.is_some_and(|key| key.to_sec1_point(false).as_bytes() == public)
                })
            });
            // Wycheproof accepts both signs of s; EIP-2 and we accept the lower. A reduced x needs a recovery
            // identifier that wallets do not give out.
            let valid = case["valid"].as_bool().expect("a verdict");
            let low_s = bytes(&case, "sig").get(32..64).is_some_and(|s| s <= &half[..]);
            if !valid || !low_s {
                assert!(!recovers, "case {}", case["id"]);
            }
            accepted += u32::from(recovers);
        }
        assert!(accepted >= 50, "{accepted}");

        let wallet = SoftwareWallet::from_secret(&Secret::new([7; 32])).expect("a scalar");
        let good = wallet.sign(&[9; 32]);
        assert_eq!(good.recover(&[9; 32]), Ok(wallet.address()));
        for v in [0, 1, 26, 29, 255] {
            let mut wrong = good;
            wrong.0[64] = v;
            assert_eq!(wrong.recover(&[9; 32]).expect_err("v").code(), "E-KEY-33");
        }
        let mut zero = good;
        zero.0[..32].fill(0);
        assert_eq!(zero.recover(&[9; 32]), Err(WalletError::BadSignature));
        let mut high = good;
        high.0[32..64].copy_from_slice(&order);
        assert_eq!(high.recover(&[9; 32]), Err(WalletError::BadSignature));
        assert!(SoftwareWallet::from_secret(&Secret::new(order)).is_err());
    }

    fn binding() -> (SoftwareWallet, SigningIdentity, Binding) {
        let wallet = SoftwareWallet::from_secret(&Secret::new([7; 32])).expect("a scalar");
        let identity = SigningIdentity::from_seed(&Secret::new([8; 32]));
        let binding = Binding {
            wallet: wallet.address(),
            identity: identity.public(),
            chain_id: 31_337,
            issued_seconds: 100,
            expires_seconds: 200,
        };
        (wallet, identity, binding)
    }

    #[test]
    fn a_binding_holds_between_its_times_when_both_signed() {
        let (wallet, identity, binding) = binding();
        let by_wallet = wallet.sign(&binding.digest());
        let signed = binding.clone().sign(&identity, by_wallet).expect("the wallet signed");
        assert_eq!(Binding::verify(&signed, 100), Ok(binding.clone()));
        assert_eq!(Binding::verify(&signed, 199), Ok(binding.clone()));
        for now in [0, 99, 200] {
            assert_eq!(Binding::verify(&signed, now).expect_err("not now").code(), "E-KEY-35");
        }

        let other = Binding { chain_id: 1, ..binding };
        assert_eq!(other.sign(&identity, by_wallet).expect_err("another chain").code(), "E-KEY-34");

        // Somebody else's key claims the wallet's word.
        let stranger = SigningIdentity::from_seed(&Secret::new([9; 32]));
        let stolen = binding.sign(&stranger, by_wallet).expect("the wallet's side is right");
        assert_eq!(Binding::verify(&stolen, 150).expect_err("stolen").code(), "E-KEY-05");
    }

    #[test]
    fn no_flipped_bit_of_a_binding_is_accepted() {
        let (wallet, identity, binding) = binding();
        let by_wallet = wallet.sign(&binding.digest());
        let signed = binding.sign(&identity, by_wallet).expect("the wallet signed");
        assert!(signed.len() <= BINDING_LENGTH_MAX);
        for bit in 0..signed.len() * 8 {
            let mut wrong = signed.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(Binding::verify(&wrong, 150).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_wallet_outside_is_asked_for_the_same_bytes() {
        let (_, _, binding) = binding();
        let asked: serde_json::Value = serde_json::from_str(&binding.to_typed_data_json()).expect("JSON");
        assert_eq!(asked["primaryType"], "IdentityBinding");
        assert_eq!(asked["message"]["identity"], format!("0x{}", binding.identity));
        assert_eq!(asked["types"]["IdentityBinding"][1]["type"], "bytes32");
        assert_eq!(asked["domain"]["chainId"], 31_337);
    }

    #[test]
    fn a_request_is_read_back_only_as_it_was_written() {
        let (_, _, binding) = binding();
        let text = binding.to_typed_data_json();
        assert_eq!(Binding::from_typed_data_json(&format!("{text}\n")), Some(binding));
        // What a wallet would show must be what is bound: another type, another domain, a second message.
        for (from, to) in [
            ("\"bytes32\"", "\"bytes16\""),
            ("\"Sealgrid\"", "\"Sealgrit\""),
            ("\"message\":{", "\"message\":{\"wallet\":\"0x00\","),
            ("IdentityBinding", "Identity"),
        ] {
            assert_eq!(Binding::from_typed_data_json(&text.replacen(from, to, 1)), None, "{to}");
        }
        for end in 0..text.len() {
            assert_eq!(Binding::from_typed_data_json(&text[..end]), None);
        }
        assert_eq!("0x12".parse::<WalletSignature>(), Err(WalletError::BadSignature));
    }
}
