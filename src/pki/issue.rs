//! Making authorities and leaves: ECDSA P-256, random serials, `NotBefore` a little in the past.

use super::judge::{Parsed, span};
use super::key::{new_key, pem};
use super::{Authority, LeafSpec, Pair, SecretText};
use crate::error::{Failure, Result, exit};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber,
};
use time::OffsetDateTime;

/// Seconds that `NotBefore` lies in the past, for machines whose clocks are a little behind.
pub const BACKDATE: i64 = 5 * 60;
const DAY: i64 = 24 * 60 * 60;
/// Ten years, two or three leap days left out.
const AUTHORITY_LIFE: i64 = 3650 * DAY;
const LEAF_LIFE: i64 = 365 * DAY;

/// A new self-signed authority called `common_name`, valid for ten years from `now` (Unix seconds).
///
/// # Errors
/// The system's random source failed.
pub fn make_authority(common_name: &str, now: i64) -> Result<Authority> {
    let key = new_key()?;
    let mut params = params(common_name, &[], now, now + AUTHORITY_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let cert = params.self_signed(&key).map_err(|e| unsignable(&e))?;
    Ok(Authority { cert: cert.pem(), key: pem(&key) })
}

/// A new key and its certificate as `spec` says, valid for a year from `now` (Unix seconds), never longer than the authority.
///
/// # Errors
/// The authority has expired, or its key and certificate do not belong together.
pub fn issue(authority: &Authority, spec: &LeafSpec, now: i64) -> Result<Pair> {
    let key = new_key()?;
    let cert = sign(authority, spec, &key, now)?;
    Ok(Pair { cert, key: pem(&key) })
}

/// As [`issue`], valid from a day ago until tomorrow: for a client that makes itself one for each run, whatever the clocks
/// of the machines say. It is written nowhere.
///
/// # Errors
/// As [`issue`].
pub fn issue_for_a_day(authority: &Authority, spec: &LeafSpec, now: i64) -> Result<Pair> {
    let key = new_key()?;
    let cert = sign_for(authority, spec, &key, now - DAY, now, DAY)?;
    Ok(Pair { cert, key: pem(&key) })
}

/// As [`issue`], for a key that exists already: what holds the key may keep it.
///
/// # Errors
/// As [`issue`]; also a key that is not PKCS#8.
pub fn reissue(authority: &Authority, spec: &LeafSpec, key: &SecretText, now: i64) -> Result<Pair> {
    let pair = parse_key(key)?;
    Ok(Pair { cert: sign(authority, spec, &pair, now)?, key: key.clone() })
}

impl Authority {
    /// Whether key and certificate belong together.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        whole(&self.cert, &self.key)
    }

    /// Seconds left before it expires; negative afterwards.
    ///
    /// # Errors
    /// The certificate cannot be read.
    pub fn left(&self, now: i64) -> Result<i64> {
        let parsed =
            Parsed::new(&self.cert).map_err(|why| Failure::new(exit::INVENTORY, format!("an authority's certificate is {why}")))?;
        Ok(parsed.cert()?.validity().not_after.timestamp() - now)
    }
}

impl Pair {
    /// Whether key and certificate belong together.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        whole(&self.cert, &self.key)
    }
}

/// Whether the PEM certificate is of the PEM key.
fn whole(cert: &str, key: &SecretText) -> bool {
    let Ok(parsed) = Parsed::new(cert) else { return false };
    let (Ok(cert), Ok(key)) = (parsed.cert(), parse_key(key)) else { return false };
    cert.public_key().raw == key.subject_public_key_info()
}

fn parse_key(key: &SecretText) -> Result<KeyPair> {
    KeyPair::from_pem(key.expose()).map_err(|_| Failure::new(exit::INVENTORY, "a private key is not a PKCS#8 PEM of a P-256 key"))
}

fn sign(authority: &Authority, spec: &LeafSpec, key: &KeyPair, now: i64) -> Result<String> {
    sign_for(authority, spec, key, now, now, LEAF_LIFE)
}

/// Valid from `from` (and a little before) until `now + life`, never longer than the authority.
fn sign_for(authority: &Authority, spec: &LeafSpec, key: &KeyPair, from: i64, now: i64, life: i64) -> Result<String> {
    if spec.organizations.len() > 1 {
        // rcgen keeps one value for each kind of name.
        return Err(Failure::bug(format!("a leaf of several organizations: {}", spec.describe())));
    }
    if !authority.is_whole() {
        return Err(Failure::new(exit::INVENTORY, format!("key and certificate of the {} do not belong together", spec.ca)));
    }
    let left = authority.left(now)?;
    if left <= 0 {
        return Err(Failure::failed(format!("the {} expired {} ago", spec.ca, span(-left))).help(
            "homectl certs rescue brings the cluster back below a new one; if this one should still be valid, check this machine's clock",
        ));
    }
    let mut params = params(&spec.common_name, &spec.organizations, from, now + left.min(life))?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    // RFC 8813: a key of an elliptic curve signs, it never encrypts.
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if spec.usage.server() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    if spec.usage.client() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    }
    for name in &spec.dns {
        let name = name.as_str().try_into().map_err(|_| Failure::bug(format!("not a DNS name: {name}")))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    params.subject_alt_names.extend(spec.ips.iter().copied().map(SanType::IpAddress));
    let ca_key = parse_key(&authority.key)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.cert, ca_key).map_err(|e| unsignable(&e))?;
    Ok(params.signed_by(key, &issuer).map_err(|e| unsignable(&e))?.pem())
}

/// What authorities and leaves have in common: subject, serial, validity.
fn params(common_name: &str, organizations: &[String], from: i64, until: i64) -> Result<CertificateParams> {
    let mut subject = DistinguishedName::new();
    for organization in organizations {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = at(from - BACKDATE)?;
    params.not_after = at(until)?;
    params.serial_number = Some(serial());
    Ok(params)
}

/// 16 random bytes, positive and of constant length in DER.
fn serial() -> SerialNumber {
    let mut bytes = [0_u8; 16];
    rand::fill(&mut bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn at(seconds: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Failure::failed(format!("this machine's clock is off: {seconds} s")))
}

fn unsignable(error: &rcgen::Error) -> Failure {
    Failure::failed(format!("cannot sign a certificate: {error}"))
}
