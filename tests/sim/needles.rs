//! Secrets as they might show up in a text: as they are, in base64, and in base64 of base64 (a key in a kubeconfig that
//! travels in a script).

use data_encoding::BASE64;
use homectl::secrets::Secrets;
use std::collections::BTreeSet;

/// Letters of a needle: too many to be there by chance, few enough to lie within one line.
const LENGTH: usize = 24;

/// What to look for, by the secret's name.
pub(crate) struct Needles(Vec<(String, Vec<String>)>);

impl Needles {
    pub(crate) fn of(secrets: &Secrets) -> Self {
        let mut texts = vec![
            ("cluster CA".to_owned(), secrets.cluster_ca.key.expose()),
            ("etcd CA".to_owned(), secrets.etcd_ca.key.expose()),
            ("front-proxy CA".to_owned(), secrets.front_proxy_ca.key.expose()),
            ("service account".to_owned(), secrets.service_account.expose()),
            ("encryption key".to_owned(), secrets.encryption_key.expose()),
        ];
        texts.extend(secrets.wireguard.iter().map(|(node, key)| (format!("{node}/wireguard"), key.private.expose())));
        texts.extend(secrets.leaves.iter().map(|((owner, name), pair)| (format!("{owner}/{name}"), pair.key.expose())));
        Self(texts.into_iter().map(|(name, text)| (name, forms(text))).collect())
    }

    /// The first secret that is in `text`.
    pub(crate) fn found(&self, text: &str) -> Option<&str> {
        let words = words(text);
        self.0.iter().find(|(_, forms)| within(&words, forms)).map(|(name, _)| name.as_str())
    }

    /// Those that are not.
    pub(crate) fn not_in(&self, text: &str) -> Vec<&str> {
        let words = words(text);
        self.0.iter().filter(|(_, forms)| !within(&words, forms)).map(|(name, _)| name.as_str()).collect()
    }
}

/// Whatever could be base64 and is long enough, each once.
fn words(text: &str) -> BTreeSet<&str> {
    let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/' || b == b'=';
    let all = text.as_bytes().split(|b| !letter(*b)).filter(|word| word.len() >= LENGTH);
    all.filter_map(|word| std::str::from_utf8(word).ok()).collect()
}

fn within(words: &BTreeSet<&str>, forms: &[String]) -> bool {
    forms.iter().any(|form| words.iter().any(|word| word.contains(form)))
}

/// The number itself lies in the second line of a P-256 key's PEM; what is before and behind it is the same in all keys, or
/// public. Other secrets are one word.
fn forms(secret: &str) -> Vec<String> {
    let line = if secret.starts_with("-----") { secret.lines().nth(2).unwrap_or_default() } else { secret };
    let core = &line[..LENGTH];
    let once = aligned(core.as_bytes());
    let twice: Vec<String> = once.iter().flat_map(|o| aligned(o.as_bytes())).collect();
    [vec![core.to_owned()], once, twice].concat()
}

/// `bytes` in base64 wherever they begin in a group of three, without the letters that depend on what is around them.
fn aligned(bytes: &[u8]) -> Vec<String> {
    let whole = |rest: &[u8]| BASE64.encode(&rest[..rest.len() / 3 * 3]);
    (0..3).map(|skip| whole(&bytes[skip..])).collect()
}

#[test]
fn a_secret_is_found_in_any_dress() {
    let key = homectl::pki::encryption_key();
    let secret = format!("-----BEGIN PRIVATE KEY-----\n{0}{0}\n{0}{0}\n-----END PRIVATE KEY-----\n", key.expose());
    let needles = Needles(vec![("it".into(), forms(&secret))]);
    for before in ["", "a", "ab"] {
        let once = BASE64.encode(format!("{before}{secret}").as_bytes());
        let twice = BASE64.encode(format!("client-key-data: {once}").as_bytes());
        for text in [format!("{before}{secret}"), once, twice] {
            assert_eq!(needles.found(&text), Some("it"), "{text}");
        }
    }
    assert_eq!(needles.found("nothing of the sort"), None);
}
