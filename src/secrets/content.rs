//! The clear text of a secrets file: TOML with a format version. It exists in memory only.

use super::{Authorities, Authority, Next, Pair, SecretText, Secrets, WireGuardKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// The format that this version writes where nothing in it is newer.
const OLDEST: u32 = 1;
/// The newest that it reads: with authorities that take the others' place, and keys of those that are lost.
const FORMAT: u32 = 4;
/// With authorities that are about to take the others' place.
const AUTHORITIES: u32 = 3;
/// With a second key of encryption at rest, or another than the first.
const KEYS: u32 = 2;

/// Why a text is not a secrets file. Never quotes the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its format is {0}, this version of homectl reads up to {FORMAT}")]
    Newer(u32),
    #[error("its content is not what homectl writes (line {0})")]
    Line(usize),
    #[error("the key and the certificate of its {0} do not belong together")]
    Mismatch(crate::pki::Ca),
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Content {
    format: u32,
    cluster: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etcd_cluster_id: Option<String>,
    encryption_key: Hidden,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption_number: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption_next: Option<NextKey>,
    service_account: KeyPair,
    cluster_ca: Certified,
    etcd_ca: Certified,
    front_proxy_ca: Certified,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorities_next: Option<NextAuthorities>,
    wireguard: BTreeMap<String, KeyPair>,
    /// By owner, then by name.
    leaves: BTreeMap<String, BTreeMap<String, Certified>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPair {
    private: Hidden,
    public: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Certified {
    cert: String,
    key: Hidden,
}

/// The key that is about to take the other's place.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextKey {
    key: Hidden,
    first: bool,
}

/// The authorities that are.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct NextAuthorities {
    first: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trusted_since: Option<i64>,
    cluster: Certified,
    etcd: Certified,
    front_proxy: Certified,
}

/// Secret text on its way into the encrypted file: serializable here and nowhere else.
struct Hidden(SecretText);

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretText::new(text)))
    }
}

/// The text of `secrets`, the same for equal secrets.
pub(super) fn write(secrets: &Secrets) -> Result<Zeroizing<String>, toml::ser::Error> {
    toml::to_string(&Content::from(secrets)).map(Zeroizing::new)
}

/// The secrets that `text` holds.
pub(super) fn read(text: &str) -> Result<Secrets, Unreadable> {
    // toml's messages quote what they found: only the line is told.
    let line = |e: &toml::de::Error| Unreadable::Line(text[..e.span().map_or(0, |s| s.start.min(text.len()))].matches('\n').count() + 1);
    let head: Head = toml::from_str(text).map_err(|e| line(&e))?;
    if !(OLDEST..=FORMAT).contains(&head.format) {
        return Err(Unreadable::Newer(head.format));
    }
    let content: Content = toml::from_str(text).map_err(|e| line(&e))?;
    let secrets = Secrets::from(content);
    match crate::pki::Ca::ALL.into_iter().find(|&ca| !secrets.is_whole(ca)) {
        Some(ca) => Err(Unreadable::Mismatch(ca)),
        None => Ok(secrets),
    }
}

impl From<&Secrets> for Content {
    fn from(s: &Secrets) -> Self {
        let mut leaves: BTreeMap<String, BTreeMap<String, Certified>> = BTreeMap::new();
        for ((owner, name), pair) in &s.leaves {
            leaves.entry(owner.clone()).or_default().insert(name.clone(), certified(&pair.cert, &pair.key));
        }
        let wireguard = |(name, key): (&String, &WireGuardKey)| (name.clone(), key_pair(&key.private, &key.public));
        Self {
            format: match (&s.authorities_next, &s.encryption_next) {
                (Some(_), _) if s.has_lost_keys() => FORMAT,
                (Some(_), _) => AUTHORITIES,
                (None, Some(_)) => KEYS,
                (None, None) if s.encryption_number > 1 => KEYS,
                (None, None) => OLDEST,
            },
            cluster: s.cluster.clone(),
            etcd_cluster_id: s.etcd_cluster_id.clone(),
            encryption_key: Hidden(s.encryption_key.clone()),
            encryption_number: (s.encryption_number > 1).then_some(s.encryption_number),
            encryption_next: s.encryption_next.as_ref().map(|n| NextKey { key: Hidden(n.value.clone()), first: n.first }),
            service_account: key_pair(&s.service_account, &s.service_account_public),
            cluster_ca: certified(&s.cluster_ca.cert, &s.cluster_ca.key),
            etcd_ca: certified(&s.etcd_ca.cert, &s.etcd_ca.key),
            front_proxy_ca: certified(&s.front_proxy_ca.cert, &s.front_proxy_ca.key),
            authorities_next: s.authorities_next.as_ref().map(next_authorities),
            wireguard: s.wireguard.iter().map(wireguard).collect(),
            leaves,
        }
    }
}

fn next_authorities(next: &Next<Authorities>) -> NextAuthorities {
    let of = |authority: &Authority| certified(&authority.cert, &authority.key);
    let Next { value, first } = next;
    let (cluster, etcd, front_proxy) = (of(&value.cluster), of(&value.etcd), of(&value.front_proxy));
    NextAuthorities { first: *first, trusted_since: value.trusted_since, cluster, etcd, front_proxy }
}

fn certified(cert: &str, key: &SecretText) -> Certified {
    Certified { cert: cert.to_owned(), key: Hidden(key.clone()) }
}

fn key_pair(private: &SecretText, public: &str) -> KeyPair {
    KeyPair { private: Hidden(private.clone()), public: public.to_owned() }
}

impl From<Content> for Secrets {
    fn from(c: Content) -> Self {
        let authority = |c: Certified| Authority { cert: c.cert, key: c.key.0 };
        let mut leaves = BTreeMap::new();
        for (owner, named) in c.leaves {
            for (name, pair) in named {
                leaves.insert((owner.clone(), name), Pair { cert: pair.cert, key: pair.key.0 });
            }
        }
        Self {
            cluster: c.cluster,
            cluster_ca: authority(c.cluster_ca),
            etcd_ca: authority(c.etcd_ca),
            front_proxy_ca: authority(c.front_proxy_ca),
            authorities_next: c.authorities_next.map(|n| Next {
                value: Authorities {
                    cluster: authority(n.cluster),
                    etcd: authority(n.etcd),
                    front_proxy: authority(n.front_proxy),
                    trusted_since: n.trusted_since,
                },
                first: n.first,
            }),
            service_account: c.service_account.private.0,
            service_account_public: c.service_account.public,
            encryption_key: c.encryption_key.0,
            encryption_number: c.encryption_number.unwrap_or(1),
            encryption_next: c.encryption_next.map(|n| Next { value: n.key.0, first: n.first }),
            wireguard: c.wireguard.into_iter().map(|(n, k)| (n, WireGuardKey { private: k.private.0, public: k.public })).collect(),
            leaves,
            etcd_cluster_id: c.etcd_cluster_id,
        }
    }
}
