//! Whether a certificate says what a spec wants: by meaning, never by bytes, since nodes renew their own.

use super::leaf::{dns, ip, subject};
use super::{Ca, LeafSpec};
use crate::error::{Failure, exit};
use std::collections::BTreeSet;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::x509::AttributeTypeAndValue;

/// Judges the PEM certificate `pem` against `spec` and the authority's PEM `ca` at `now` (Unix seconds). Where there are several
/// certificates in `ca`, any of them may have signed it.
///
/// `Ok` says why it is settled (`valid, 340 days left`), `Err` what is wrong: unreadable, signed by another CA,
/// names missing or too many, usage wrong, less than a third of its life left. All that is wrong is named, not the first of it.
///
/// # Errors
/// The reason, a fragment for a plan line.
pub fn judge(spec: &LeafSpec, ca: &str, pem: &str, now: i64) -> Result<String, String> {
    let (authorities, leaf) = (Parsed::all(ca).map_err(|why| format!("the {} is {why}", spec.ca))?, Parsed::new(pem)?);
    let unreadable = |_| "unreadable".to_owned();
    let leaf = leaf.cert().map_err(unreadable)?;
    let mut authorities: Vec<X509Certificate<'_>> = authorities.iter().map(Parsed::cert).collect::<Result<_, _>>().map_err(unreadable)?;
    let authority = match authorities.iter().position(|authority| issuer(spec.ca, authority, &leaf).is_ok()) {
        Some(at) => authorities.swap_remove(at),
        None => return issuer(spec.ca, &authorities[0], &leaf).map(|()| String::new()),
    };
    let ca_left = authority.validity().not_after.timestamp() - now;
    let expired = (ca_left <= 0).then(|| format!("the {} expired {} ago", spec.ca, span(-ca_left)));
    says(spec, &leaf, now, expired)
}

/// As [`judge`], where there is no authority to ask: by what the certificate itself says.
///
/// # Errors
/// As [`judge`].
pub fn judge_alone(spec: &LeafSpec, pem: &str, now: i64) -> Result<String, String> {
    let leaf = Parsed::new(pem)?;
    let leaf = leaf.cert().map_err(|_| "unreadable".to_owned())?;
    says(spec, &leaf, now, None)
}

/// Judges the PEM certificate `pem` of an authority: whether it can be that of `ca` at `now`, whichever key it has.
///
/// # Errors
/// The reason, a fragment for a plan line.
pub fn judge_authority(ca: Ca, pem: &str, now: i64) -> Result<String, String> {
    let parsed = Parsed::new(pem)?;
    let cert = parsed.cert().map_err(|_| "unreadable".to_owned())?;
    let named = texts(cert.subject().iter_common_name());
    if named != [ca.common_name()] {
        return Err(format!("subject is {}, wanted {}", or_nothing(subject(&named, &[])), subject(&[ca.common_name().to_owned()], &[])));
    }
    if !cert.is_ca() {
        return Err("is no authority".into());
    }
    cert.verify_signature(None).map_err(|_| "not signed by itself".to_owned())?;
    let left = cert.validity().not_after.timestamp() - now;
    if left <= 0 {
        return Err(format!("expired {} ago", span(-left)));
    }
    Ok(format!("valid, {} left", span(left)))
}

/// Whether a PEM text holds a certificate that can be read.
#[must_use]
pub fn is_certificate(pem: &str) -> bool {
    Parsed::new(pem).is_ok()
}

/// What it says, against the spec; with what was found `wrong` before.
fn says(spec: &LeafSpec, leaf: &X509Certificate<'_>, now: i64, wrong: Option<String>) -> Result<String, String> {
    let mut all = Vec::new();
    all.extend(subject_differs(spec, leaf));
    all.extend(names_differ(spec, leaf));
    all.extend(usage_differs(spec, leaf));
    all.extend(wrong);
    match life(leaf, now) {
        Err(why) => all.push(why),
        Ok(left) if all.is_empty() => return Ok(format!("valid, {left} left")),
        Ok(_) => {}
    }
    Err(all.join("; "))
}

/// Unix seconds from when on a PEM certificate is valid; nothing where it cannot be read.
#[must_use]
pub fn begins(pem: &str) -> Option<i64> {
    Some(Parsed::new(pem).ok()?.cert().ok()?.validity().not_before.timestamp())
}

/// Whether a PEM certificate can be read and has run out at `now` (Unix seconds).
#[must_use]
pub fn has_ended(pem: &str, now: i64) -> bool {
    Parsed::new(pem).is_ok_and(|parsed| parsed.cert().is_ok_and(|cert| cert.validity().not_after.timestamp() <= now))
}

/// How certificates name the key of an authority, of which `pem` is the certificate: `DA:4A:…`, as openssl prints it.
#[must_use]
pub fn key_id(pem: &str) -> Option<String> {
    let parsed = Parsed::new(pem).ok()?;
    let cert = parsed.cert().ok()?;
    let id = cert.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })?;
    Some(id.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

/// Whether two PEM certificates are of the same key; `false` where one cannot be read.
#[must_use]
pub fn same_key(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (Parsed::new(one), Parsed::new(other)) else { return false };
    matches!((one.cert(), other.cert()), (Ok(a), Ok(b)) if a.public_key().raw == b.public_key().raw)
}

/// The first certificate of a PEM text, in DER.
pub(super) struct Parsed(Pem);

impl Parsed {
    /// Finds it; a key or words before it do not matter. The error completes "it is …".
    pub(super) fn new(pem: &str) -> Result<Self, String> {
        let blocks = Pem::iter_from_buffer(pem.as_bytes()).filter_map(Result::ok);
        let found = blocks.into_iter().find(|b| b.label == "CERTIFICATE").ok_or("not a PEM certificate")?;
        found.parse_x509().map_err(|_| "damaged")?;
        Ok(Self(found))
    }

    /// Every certificate of the text, one at least.
    fn all(pem: &str) -> Result<Vec<Self>, String> {
        let blocks = Pem::iter_from_buffer(pem.as_bytes()).filter_map(Result::ok).filter(|b| b.label == "CERTIFICATE");
        let all: Vec<Self> = blocks.map(|b| b.parse_x509().is_ok().then_some(b).map(Self).ok_or("damaged")).collect::<Result<_, _>>()?;
        if all.is_empty() { Err("not a PEM certificate".into()) } else { Ok(all) }
    }

    pub(super) fn into_der(self) -> Vec<u8> {
        self.0.contents
    }

    /// A view of it.
    pub(super) fn cert(&self) -> Result<X509Certificate<'_>, Failure> {
        self.0.parse_x509().map_err(|_| Failure::new(exit::INVENTORY, "a certificate is damaged"))
    }
}

fn issuer(wanted: Ca, authority: &X509Certificate<'_>, leaf: &X509Certificate<'_>) -> Result<(), String> {
    if leaf.issuer().as_raw() != authority.subject().as_raw() {
        return Err(format!("signed by {}, not by the {wanted} ({})", leaf.issuer(), authority.subject()));
    }
    leaf.verify_signature(Some(authority.public_key())).map_err(|_| format!("signed by another {wanted} of the same name"))
}

fn subject_differs(spec: &LeafSpec, leaf: &X509Certificate<'_>) -> Option<String> {
    let common_names = texts(leaf.subject().iter_common_name());
    let organizations = texts(leaf.subject().iter_organization());
    let set = |v: &[String]| v.iter().cloned().collect::<BTreeSet<_>>();
    let same = common_names == [spec.common_name.clone()] && set(&organizations) == set(&spec.organizations);
    (!same).then(|| format!("subject is {}, wanted {}", or_nothing(subject(&common_names, &organizations)), spec.subject()))
}

fn texts<'a>(attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Vec<String> {
    attributes.map(|a| a.as_str().map_or_else(|_| "?".to_owned(), str::to_owned)).collect()
}

fn names_differ(spec: &LeafSpec, leaf: &X509Certificate<'_>) -> Option<String> {
    let Ok(extension) = leaf.subject_alternative_name() else { return Some("unreadable names".into()) };
    let general = extension.map(|e| e.value.general_names.as_slice()).unwrap_or_default();
    let present: BTreeSet<String> = general.iter().map(name).collect();
    let wanted: BTreeSet<String> = spec.names().into_iter().collect();
    let list = |a: &BTreeSet<String>, b| a.difference(b).cloned().collect::<Vec<_>>().join(", ");
    let (missing, extra) = (list(&wanted, &present), list(&present, &wanted));
    match (missing.as_str(), extra.as_str()) {
        ("", "") => None,
        (missing, "") => Some(format!("lacks {missing}")),
        ("", extra) => Some(format!("also names {extra}")),
        (missing, extra) => Some(format!("lacks {missing}; also names {extra}")),
    }
}

/// As [`LeafSpec::names`] writes them.
fn name(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) => dns(name),
        GeneralName::IPAddress(bytes) => match (<[u8; 4]>::try_from(*bytes), <[u8; 16]>::try_from(*bytes)) {
            (Ok(v4), _) => ip(IpAddr::from(v4)),
            (_, Ok(v6)) => ip(IpAddr::from(v6)),
            _ => format!("IP of {} bytes", bytes.len()),
        },
        other => other.to_string(),
    }
}

fn usage_differs(spec: &LeafSpec, leaf: &X509Certificate<'_>) -> Option<String> {
    if leaf.is_ca() {
        return Some("is an authority, not a leaf".into());
    }
    let (Ok(key_usage), Ok(extended)) = (leaf.key_usage(), leaf.extended_key_usage()) else {
        return Some("unreadable usage".into());
    };
    if key_usage.is_some_and(|u| !u.value.digital_signature()) {
        return Some("its key may not sign".into());
    }
    let Some(extended) = extended.map(|e| e.value) else {
        return Some(format!("for any use, wanted {}", spec.usage));
    };
    let mut present = Vec::new();
    for (said, word) in [
        (extended.server_auth, "server"),
        (extended.client_auth, "client"),
        (extended.any, "any use"),
        (extended.code_signing, "code"),
        (extended.email_protection, "mail"),
        (extended.time_stamping, "time stamps"),
        (extended.ocsp_signing, "OCSP"),
        (!extended.other.is_empty(), "other uses"),
    ] {
        if said {
            present.push(word);
        }
    }
    let present = present.join(" and ");
    (present != spec.usage.to_string()).then(|| format!("for {}, wanted {}", or_nothing(present), spec.usage))
}

/// How long it is still good for, in words.
fn life(leaf: &X509Certificate<'_>, now: i64) -> Result<String, String> {
    let (from, until) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let left = until - now;
    if now < from {
        return Err(format!("not valid for another {}", span(from - now)));
    }
    if left <= 0 {
        return Err(format!("expired {} ago", span(-left)));
    }
    if left.saturating_mul(3) < until - from {
        return Err(format!("less than a third of its life left ({} of {})", span(left), span(until - from)));
    }
    Ok(span(left))
}

/// Whole days, or hours or minutes where there are not two of the larger.
#[must_use]
pub fn span(seconds: i64) -> String {
    let (day, hour, minute) = (24 * 60 * 60, 60 * 60, 60);
    match seconds {
        s if s >= 2 * day => format!("{} days", s / day),
        s if s >= 2 * hour => format!("{} hours", s / hour),
        s if s >= 2 * minute => format!("{} minutes", s / minute),
        s => format!("{s} s"),
    }
}

fn or_nothing(text: String) -> String {
    if text.is_empty() { "nothing".into() } else { text }
}
