//! Whether the key that a server shows is the one we expect: the pin in the inventory first, else the
//! `known_hosts` file beside the inventory. There is no third answer and no way to skip the question.

use crate::whole;
use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, Marker};
use russh::keys::{Algorithm, HashAlg, PublicKey};
use sha1::Sha1;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What is known about the keys of one host.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Keys that the host may show, with where they stand.
    keys: Vec<(PublicKey, String)>,
    /// Keys that nobody may show any more.
    revoked: Vec<(PublicKey, String)>,
    /// Entries for the host that could not be read: they may be the one that counts.
    unreadable: Vec<String>,
}

/// What a shown key is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The pinned or recorded one.
    Trusted,
    /// The first that anyone has seen of this host.
    New,
    /// Another than the expected one, which is told with the place it comes from.
    Changed(String),
}

/// `SHA256:…` of a key.
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// How `known_hosts` names a host: the bare name, or `[name]:port` off the standard port.
fn name_of(host: &str, port: u16) -> String {
    let host = host.to_ascii_lowercase();
    if port == 22 { host } else { format!("[{host}]:{port}") }
}

impl Known {
    /// Reads what `file` says about `host`; a file that is not there says nothing.
    pub(super) fn read(file: &Path, host: &str, port: u16) -> io::Result<Self> {
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Self::parse(&text, &file.file_name().unwrap_or_default().to_string_lossy(), host, port)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", file.display()))),
        }
    }

    /// Reads what one of ssh's own files says besides. Those are not ours: one that cannot be read says nothing.
    pub(super) fn also(&mut self, file: &Path, host: &str, port: u16) {
        let Ok(text) = std::fs::read_to_string(file) else { return };
        let more = Self::parse(&text, &file.display().to_string(), host, port);
        self.keys.extend(more.keys);
        self.revoked.extend(more.revoked);
        self.unreadable.extend(more.unreadable);
    }

    fn parse(text: &str, file: &str, host: &str, port: u16) -> Self {
        let name = name_of(host, port);
        let mut known = Self::default();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let marked = usize::from(words.first().is_some_and(|w| w.starts_with('@')));
            let Some(hosts) = words.get(marked).filter(|h| !h.starts_with('#')) else { continue };
            if !hosts.parse().is_ok_and(|patterns| matches(&patterns, &name)) {
                continue;
            }
            let place = format!("{file} line {}", number + 1);
            // The comment is left out: only single spaces and three fields are sure to parse.
            match words[..words.len().min(marked + 3)].join(" ").parse::<Entry>() {
                Ok(entry) => match entry.marker() {
                    None => known.keys.push((entry.public_key().clone(), place)),
                    Some(Marker::Revoked) => known.revoked.push((entry.public_key().clone(), place)),
                    // Host certificates are never asked for, so their authorities say nothing here.
                    Some(Marker::CertAuthority) => {}
                },
                Err(_) => known.unreadable.push(place),
            }
        }
        known
    }

    /// The algorithms of the recorded keys, to be asked for first.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        self.keys.iter().map(|(key, _)| key.algorithm()).collect()
    }

    /// Judges a key that the server proved to hold. A recorded key of another type counts as a change: whoever
    /// answers in place of the host would simply show a type that we have not recorded.
    pub(super) fn judge(&self, pin: Option<&str>, shown: &PublicKey) -> Verdict {
        let same = |key: &PublicKey| key.key_data() == shown.key_data();
        if let Some((_, place)) = self.revoked.iter().find(|(key, _)| same(key)) {
            return Verdict::Changed(format!("any key but this one, which {place} revokes"));
        }
        if let Some(pin) = pin {
            let pinned = fingerprint(shown) == pin;
            return if pinned { Verdict::Trusted } else { Verdict::Changed(format!("{pin} (host-key in the inventory)")) };
        }
        if self.keys.iter().any(|(key, _)| same(key)) {
            return Verdict::Trusted;
        }
        let recorded = self.keys.iter().map(|(key, place)| format!("{} ({place})", fingerprint(key)));
        let unreadable = self.unreadable.iter().map(|place| format!("an entry that cannot be read ({place})"));
        let expected: Vec<String> = recorded.chain(unreadable).collect();
        if expected.is_empty() { Verdict::New } else { Verdict::Changed(expected.join(" or ")) }
    }
}

/// Whether any pattern names the host and none excludes it.
fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => {
            Hmac::<Sha1>::new_from_slice(salt).is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok())
        }
        HostPatterns::Patterns(patterns) => {
            let hit = |pattern: &str| glob(pattern.to_ascii_lowercase().as_bytes(), name.as_bytes());
            patterns.iter().any(|p| !p.starts_with('!') && hit(p)) && !patterns.iter().any(|p| p.strip_prefix('!').is_some_and(hit))
        }
    }
}

/// `*` and `?`, as in `known_hosts`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        (Some((b'?', pattern)), Some((_, text))) => glob(pattern, text),
        (Some((p, pattern)), Some((t, text))) if p == t => glob(pattern, text),
        _ => false,
    }
}

/// Records the first key of `host` in `file`, whole or not at all. If somebody recorded one in the meantime,
/// theirs decides: the verdict is about the file as it is then.
pub(super) fn record(file: &Path, host: &str, port: u16, key: &PublicKey) -> io::Result<Verdict> {
    static WRITER: Mutex<()> = Mutex::new(());
    let _one_at_a_time = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    let verdict = Known::read(file, host, port)?.judge(None, key);
    if verdict != Verdict::New {
        return Ok(verdict);
    }
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let (mut text, mode) = match std::fs::read_to_string(&file) {
        Ok(text) => (text, std::fs::metadata(&file)?.permissions().mode() & 0o7777),
        Err(e) if e.kind() == ErrorKind::NotFound => (String::new(), 0o644),
        Err(e) => return Err(e),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let bare = PublicKey::new(key.key_data().clone(), "");
    let openssh = bare.to_openssh().map_err(io::Error::other)?;
    text += &name_of(host, port);
    text += " ";
    text += openssh.trim();
    text += "\n";
    whole::replace(&file, text.as_bytes(), mode)?;
    Ok(Verdict::Trusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use russh::keys::PrivateKey;
    use russh::keys::ssh_key::EcdsaCurve;

    fn key(algorithm: Algorithm) -> PublicKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).unwrap().public_key().clone()
    }

    fn ed25519() -> PublicKey {
        key(Algorithm::Ed25519)
    }

    fn line(hosts: &str, key: &PublicKey) -> String {
        format!("{hosts} {}\n", key.to_openssh().unwrap())
    }

    fn judge(text: &str, host: &str, port: u16, shown: &PublicKey) -> Verdict {
        Known::parse(text, "k", host, port).judge(None, shown)
    }

    #[test]
    fn a_pin_decides_alone() {
        let (a, b) = (ed25519(), ed25519());
        let known = Known::parse(&line("h", &b), "k", "h", 22);
        assert_eq!(known.judge(Some(&fingerprint(&a)), &a), Verdict::Trusted);
        let Verdict::Changed(expected) = known.judge(Some(&fingerprint(&a)), &b) else { panic!("not changed") };
        assert_eq!(expected, format!("{} (host-key in the inventory)", fingerprint(&a)));
    }

    #[test]
    fn recorded_keys_are_trusted_by_name_port_and_pattern() {
        let a = ed25519();
        for (hosts, host, port) in [
            ("h", "h", 22),
            ("H.example", "h.EXAMPLE", 22),
            ("[h]:2222", "h", 2222),
            ("x,h,y", "h", 22),
            ("*.lan", "attic.lan", 22),
            ("192.168.1.?", "192.168.1.7", 22),
            ("[*.lan]:2222", "attic.lan", 2222),
            ("fd00::1", "fd00::1", 22),
        ] {
            assert_eq!(judge(&line(hosts, &a), host, port, &a), Verdict::Trusted, "{hosts}");
            assert!(matches!(judge(&line(hosts, &a), host, port, &ed25519()), Verdict::Changed(_)), "{hosts}");
        }
        for (hosts, host, port) in [("h", "g", 22), ("h", "h", 2222), ("[h]:2222", "h", 22), ("*.lan,!attic.lan", "attic.lan", 22)] {
            assert_eq!(judge(&line(hosts, &a), host, port, &a), Verdict::New, "{hosts}");
        }
    }

    #[test]
    fn another_type_is_a_change_and_its_algorithm_is_asked_for_first() {
        let ecdsa = key(Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        let known = Known::parse(&line("h", &ecdsa), "home.known_hosts", "h", 22);
        assert_eq!(known.algorithms(), [ecdsa.algorithm()]);
        let Verdict::Changed(expected) = known.judge(None, &ed25519()) else { panic!("not changed") };
        assert_eq!(expected, format!("{} (home.known_hosts line 1)", fingerprint(&ecdsa)));
    }

    #[test]
    fn hashed_names_are_found() {
        // What `ssh-keygen -H` made of attic.lan and [attic.lan]:2022.
        let a = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqSfZGLqkFTO1+nMUclR9hU5P2RdsOdfYMh53pqCG9T";
        let text = format!(
            "|1|g7pTc4atps7t5I5nwvH2ZHYzxLc=|c1mPqYA3BEOCToqkTjMMLDKBuQo= {a}\n|1|RlHR52iNOw7PONHdL6Mhhq6f1p0=|gfNwrAvv9aKUeX7gtvat39lNHGI= {a}\n"
        );
        let a = PublicKey::from_openssh(a).unwrap();
        assert_eq!(judge(&text, "attic.lan", 22, &a), Verdict::Trusted);
        assert_eq!(judge(&text, "attic.lan", 2022, &a), Verdict::Trusted);
        assert!(matches!(judge(&text, "attic.lan", 22, &ed25519()), Verdict::Changed(_)));
        assert_eq!(judge(&text, "cellar.lan", 22, &a), Verdict::New);
    }

    #[test]
    fn revoked_keys_are_refused_even_when_pinned() {
        let a = ed25519();
        let known = Known::parse(&format!("@revoked * {}\n{}", a.to_openssh().unwrap(), line("h", &a)), "k", "h", 22);
        assert!(matches!(known.judge(None, &a), Verdict::Changed(_)));
        assert!(matches!(known.judge(Some(&fingerprint(&a)), &a), Verdict::Changed(_)));
        assert_eq!(judge(&format!("@revoked * {}", a.to_openssh().unwrap()), "h", 22, &ed25519()), Verdict::New);
    }

    #[test]
    fn odd_lines_do_no_harm() {
        let a = ed25519();
        let text = format!(
            "# comment\n\n  \n@cert-authority h {0}\nh\t {1}  a comment # here\n",
            a.to_openssh().unwrap(),
            a.to_openssh().unwrap()
        );
        assert_eq!(judge(&text, "h", 22, &a), Verdict::Trusted);
        assert!(matches!(judge("h ssh-ed25519 AAAA\n", "h", 22, &a), Verdict::Changed(e) if e.contains("cannot be read (k line 1)")));
        assert_eq!(judge("g ssh-ed25519 AAAA\n", "h", 22, &a), Verdict::New);
    }

    #[test]
    fn the_first_key_is_recorded_once_and_whole() {
        let home = tempfile::TempDir::new().unwrap();
        let file = home.path().join("home.known_hosts");
        let (a, b) = (ed25519(), ed25519());
        assert_eq!(record(&file, "attic", 22, &a).unwrap(), Verdict::Trusted);
        assert_eq!(record(&file, "attic", 2022, &b).unwrap(), Verdict::Trusted);
        assert_eq!(record(&file, "attic", 22, &a).unwrap(), Verdict::Trusted);
        assert!(matches!(record(&file, "attic", 22, &b).unwrap(), Verdict::Changed(_)));
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, line("attic", &a) + &line("[attic]:2022", &b));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
        assert_eq!(Known::read(&file, "attic", 22).unwrap().judge(None, &a), Verdict::Trusted);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_an_empty_one() {
        let home = tempfile::TempDir::new().unwrap();
        assert!(Known::read(home.path(), "h", 22).is_err());
    }
}
