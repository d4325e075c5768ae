//! Keys and pairs as the secrets file holds them, and the keys that no authority signs.

use super::SecretText;
use crate::error::{Failure, Result};
use data_encoding::BASE64;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A certificate authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// PEM.
    pub cert: String,
    /// PKCS#8 PEM.
    pub key: SecretText,
}

/// A leaf certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// PEM.
    pub cert: String,
    /// PKCS#8 PEM.
    pub key: SecretText,
}

/// A node's WireGuard key pair, base64 as `wg` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireGuardKey {
    pub private: SecretText,
    pub public: String,
}

impl WireGuardKey {
    /// A fresh pair, as `wg genkey` and `wg pubkey` make it.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_bytes(&Zeroizing::new(StaticSecret::random().to_bytes()))
    }

    /// The pair of a private key as `wg` writes it; `None` where it is none.
    #[must_use]
    pub fn of(private: &SecretText) -> Option<Self> {
        let bytes = Zeroizing::new(BASE64.decode(private.expose().trim().as_bytes()).ok()?);
        let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(bytes.as_slice().try_into().ok()?);
        Some(Self::from_bytes(&bytes))
    }

    /// The pair of 32 secret bytes. They are clamped first, as the kernel does when it takes a key: what
    /// `wg showconf` prints on a node is then what we wrote.
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut clamped = Zeroizing::new(*bytes);
        clamped[0] &= 0b1111_1000;
        clamped[31] = (clamped[31] & 0b0111_1111) | 0b0100_0000;
        let public = PublicKey::from(&StaticSecret::from(*clamped));
        Self { private: SecretText::new(BASE64.encode(&*clamped)), public: BASE64.encode(public.as_bytes()) }
    }
}

/// What signs and verifies service-account tokens (ES256).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// PKCS#8 PEM.
    pub private: SecretText,
    /// PKIX PEM.
    pub public: String,
}

impl ServiceAccountKey {
    /// A fresh P-256 pair.
    ///
    /// # Errors
    /// The system's random source failed.
    pub fn generate() -> Result<Self> {
        let pair = new_key()?;
        Ok(Self { private: pem(&pair), public: pair.public_key_pem() })
    }
}

/// 32 random bytes in base64: a secretbox key.
#[must_use]
pub fn encryption_key() -> SecretText {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut bytes[..]);
    SecretText::new(BASE64.encode(&*bytes))
}

/// A fresh P-256 key.
pub(super) fn new_key() -> Result<KeyPair> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| Failure::failed(format!("cannot make a key: {e}")))
}

/// The key as PKCS#8 PEM.
pub(super) fn pem(pair: &KeyPair) -> SecretText {
    SecretText::new(pair.serialize_pem())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::fixture::run;
    use data_encoding::HEXLOWER;

    /// RFC 7748 §6.1, Alice and Bob.
    #[test]
    fn wireguard_public_keys_are_x25519() {
        for (private, public) in [
            (
                "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            ),
            (
                "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ),
        ] {
            let bytes: [u8; 32] = HEXLOWER.decode(private.as_bytes()).unwrap().try_into().unwrap();
            let key = WireGuardKey::from_bytes(&bytes);
            assert_eq!(HEXLOWER.encode(&BASE64.decode(key.public.as_bytes()).unwrap()), public);
        }
    }

    #[test]
    fn wireguard_private_keys_are_written_clamped() {
        for bytes in [[0xff; 32], [0; 32]] {
            let key = BASE64.decode(WireGuardKey::from_bytes(&bytes).private.expose().as_bytes()).unwrap();
            assert_eq!((key[0] & 7, key[31] >> 6, key.len()), (0, 1, 32));
        }
        assert_ne!(WireGuardKey::generate(), WireGuardKey::generate());
    }

    #[test]
    fn wg_agrees() {
        let key = WireGuardKey::generate();
        let Some(public) = run("wg", &["pubkey"], key.private.expose()) else { return };
        assert_eq!(public.unwrap().trim(), key.public);
    }

    #[test]
    fn openssl_derives_the_same_service_account_key() {
        let key = ServiceAccountKey::generate().unwrap();
        assert!(key.private.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(key.public.starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let Some(public) = run("openssl", &["pkey", "-pubout"], key.private.expose()) else { return };
        assert_eq!(public.unwrap(), key.public);
    }

    #[test]
    fn an_encryption_key_is_32_bytes() {
        let key = encryption_key();
        assert_eq!(BASE64.decode(key.expose().as_bytes()).unwrap().len(), 32);
        assert_ne!(key, encryption_key());
    }
}
