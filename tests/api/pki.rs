//! A CA and leaves of it, made on the spot.

use homectl::secrets::{Authority, Pair, SecretText};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// Names and groups of a leaf.
#[derive(Default)]
pub struct Leaf<'a> {
    pub name: &'a str,
    pub group: &'a str,
    pub dns: &'a [&'a str],
    pub ips: &'a [&'a str],
    pub server: bool,
}

/// A new CA.
pub fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::KeyCertSign];
    let cert = params.self_signed(&key).unwrap();
    Authority { cert: cert.pem(), key: SecretText::new(key.serialize_pem()) }
}

/// A leaf of `ca`.
pub fn leaf(ca: &Authority, leaf: &Leaf) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, leaf.name);
    if !leaf.group.is_empty() {
        params.distinguished_name.push(DnType::OrganizationName, leaf.group);
    }
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![if leaf.server { ExtendedKeyUsagePurpose::ServerAuth } else { ExtendedKeyUsagePurpose::ClientAuth }];
    let dns = leaf.dns.iter().map(|n| SanType::DnsName((*n).try_into().unwrap()));
    let ips = leaf.ips.iter().map(|i| SanType::IpAddress(i.parse().unwrap()));
    params.subject_alt_names = dns.chain(ips).collect();
    let issuer = Issuer::from_ca_cert_pem(&ca.cert, KeyPair::from_pem(ca.key.expose()).unwrap()).unwrap();
    let cert = params.signed_by(&key, &issuer).unwrap();
    Pair { cert: cert.pem(), key: SecretText::new(key.serialize_pem()) }
}

/// A key pair for service-account tokens: private and public PEM.
pub fn service_account() -> (SecretText, String) {
    let key = KeyPair::generate().unwrap();
    (SecretText::new(key.serialize_pem()), key.public_key_pem())
}
