//! What TLS may negotiate: version 1.3, X25519MLKEM768, AES-256 before AES-128.
//!
//! QUIC protects its first packets with AES-128-GCM by definition (RFC 9001, section 5.2), so a provider without
//! that suite cannot bind; two of our endpoints always agree on AES-256 because both prefer it and the TLS 1.3
//! transcript binds the choice. Neither fact is relied on for an owner's data: payloads are sealed with AES-256
//! end to end.

use std::sync::Arc;

use iroh::endpoint::Connection;
use noq::crypto::rustls::HandshakeData;
use rustls::NamedGroup;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};

/// Which key exchanges an endpoint takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyExchange {
    /// X25519MLKEM768 (X25519 and ML-KEM-768 together) or no connection.
    #[default]
    HybridRequired,
    /// X25519MLKEM768 first, X25519 for peers and relays that do not know it.
    HybridPreferred,
}

impl KeyExchange {
    pub(crate) fn provider(self) -> Arc<CryptoProvider> {
        let groups = match self {
            Self::HybridRequired => vec![kx_group::X25519MLKEM768],
            Self::HybridPreferred => vec![kx_group::X25519MLKEM768, kx_group::X25519],
        };
        Arc::new(CryptoProvider {
            kx_groups: groups,
            cipher_suites: vec![
                cipher_suite::TLS13_AES_256_GCM_SHA384,
                cipher_suite::TLS13_AES_128_GCM_SHA256,
            ],
            ..aws_lc_rs::default_provider()
        })
    }

    /// Whether a finished handshake meets this. The provider already restricts the offer; this is the second look.
    pub(crate) fn met_by(self, connection: &Connection) -> bool {
        match self {
            Self::HybridRequired => negotiated_group(connection) == Some(NamedGroup::X25519MLKEM768),
            Self::HybridPreferred => true,
        }
    }
}

/// The key exchange that a finished handshake used.
pub(crate) fn negotiated_group(connection: &Connection) -> Option<NamedGroup> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.negotiated_key_exchange_group
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aes_256_stands_before_aes_128_and_nothing_else_is_offered() {
        for choice in [KeyExchange::HybridRequired, KeyExchange::HybridPreferred] {
            let provider = choice.provider();
            let suites: Vec<_> = provider.cipher_suites.iter().map(|suite| suite.suite()).collect();
            assert_eq!(
                suites,
                [
                    rustls::CipherSuite::TLS13_AES_256_GCM_SHA384,
                    rustls::CipherSuite::TLS13_AES_128_GCM_SHA256
                ]
            );
            assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        }
        assert_eq!(KeyExchange::HybridRequired.provider().kx_groups.len(), 1);
    }
}
