//! What a snapshot of etcd holds, looked for in its bytes: most of what the API writes lies there in clear, and of what is
//! encrypted the name of the key.

use memchr::memmem;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read as _, Result};
use std::path::Path;

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// What the API server writes before a Secret that it encrypts; the key's name and a colon follow.
const ENCRYPTED: &[u8] = b"k8s:enc:secretbox:v1:";
/// A key's name and its colon are not longer.
const NAME: usize = 32;

/// Whether the snapshot knows the cluster whose authority `ca` is, in PEM: every namespace has it in a `ConfigMap`.
///
/// # Errors
/// The file cannot be read.
pub fn knows_authority(snapshot: &Path, ca: &str) -> Result<bool> {
    // The last whole line of it, which is of its signature.
    let wanted = ca.lines().rev().filter(|line| !line.starts_with("-----")).nth(1).unwrap_or_default();
    let mut known = false;
    each(snapshot, wanted.as_bytes(), 0, |_| {
        known = true;
        false
    })?;
    Ok(known)
}

/// Names of the keys that Secrets in the snapshot are encrypted with. One that all of them were written over with long ago may
/// be among them: etcd leaves what it has freed until it needs the room.
///
/// # Errors
/// The file cannot be read.
pub fn encryption_keys(snapshot: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    each(snapshot, ENCRYPTED, NAME, |after| {
        let name = after.split(|b| *b == b':').next().filter(|name| name.len() < after.len());
        names.extend(name.and_then(|name| std::str::from_utf8(name).ok()).map(str::to_owned));
        true
    })?;
    Ok(names)
}

/// Calls `found` with up to `tail` bytes behind each `needle`, until it says that it has enough. One may be shown twice.
fn each(path: &Path, needle: &[u8], tail: usize, mut found: impl FnMut(&[u8]) -> bool) -> Result<()> {
    let finder = memmem::Finder::new(needle);
    let mut file = File::open(path)?;
    let (mut window, mut kept) = (vec![0; PIECE], 0);
    loop {
        let read = file.read(&mut window[kept..])?;
        let end = kept + read;
        for at in finder.find_iter(&window[..end]).map(|at| at + needle.len()) {
            // What is cut by the window's end is seen again, whole, in the next one.
            if (read == 0 || at + tail <= end) && !found(&window[at..end.min(at + tail)]) {
                return Ok(());
            }
        }
        if read == 0 {
            return Ok(());
        }
        let from = end.saturating_sub(needle.len() + tail);
        window.copy_within(from..end, 0);
        kept = end - from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIBdzCCAR2gAwIBAgIBADAKBggqhkjOPQQDAjAj\nMSEw\n-----END CERTIFICATE-----\n";

    /// A file with `text` in it after so many other bytes: across the border of two reads, too.
    fn with(text: &str, check: impl Fn(&Path)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        for at in [0, 5, PIECE - 7, PIECE - 25, PIECE + 1] {
            std::fs::write(file.path(), [vec![b'x'; at], text.as_bytes().to_vec(), vec![b'y'; 99]].concat()).unwrap();
            check(file.path());
        }
    }

    #[test]
    fn a_snapshot_is_known_by_the_authority_in_it() {
        with(&CA.replace('\n', "\n  "), |file| {
            assert!(knows_authority(file, CA).unwrap());
            assert!(!knows_authority(file, &CA.replace("MIIB", "MIIC")).unwrap());
        });
    }

    #[test]
    fn keys_are_known_by_their_names() {
        let text = "k8s:enc:secretbox:v1:key1:\u{7f}abc k8s:enc:secretbox:v1:key12:zzz k8s:enc:secretbox:v1:key1:";
        with(text, |file| assert_eq!(encryption_keys(file).unwrap(), BTreeSet::from(["key1".into(), "key12".into()])));
        with("k8s:enc:secretbox:v2:key3:", |file| assert!(encryption_keys(file).unwrap().is_empty()));
    }
}
