//! What the file-system section of a settled host prints, so that one digest stands for all of it.

use super::super::{Want, file::Body};
use super::{hashed, inode_path, present};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The digest of a settled host's section; `None` when some want asks for absence or for a file whose owner or
/// content is not fixed.
pub(super) fn digest(wants: &[Want]) -> Option<String> {
    let inodes: Vec<&Want> = wants.iter().filter(|w| inode_path(w).is_some()).collect();
    if inodes.is_empty() || !inodes.iter().all(|w| present(w)) {
        return None;
    }
    let mut text = String::new();
    for want in &inodes {
        text.push_str(&stat_line(want)?);
        text.push('\n');
    }
    let sums: Vec<String> =
        inodes.iter().filter_map(|w| hashed(w)).filter_map(|f| Some(format!("{}  {}", f.body.as_ref()?.sha256(), f.path))).collect();
    let _ = writeln!(text, "{}", sums.join("\n"));
    Some(data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes())))
}

/// `path|raw mode in hex|user:group|name as stat prints it`.
fn stat_line(want: &Want) -> Option<String> {
    Some(match want {
        Want::Dir(d) => format!("{0}|{1:x}|{2}|{0}", d.path, 0o040_000 | d.mode, d.owner),
        Want::File(f) => format!("{0}|{1:x}|{2}|{0}", f.path, 0o100_000 | f.mode, f.owner),
        Want::Link(l) => format!("{0}|a1ff|root:root|{0} -> {1}", l.path, l.target.as_ref()?),
        _ => return None,
    })
}

/// The sha256 of a file's body, for leaves.
pub(super) fn body_sum(text: &str) -> String {
    Body::Text(text.to_owned()).sha256()
}
