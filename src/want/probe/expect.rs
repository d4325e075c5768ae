//! What the file-system section of a settled host prints, so that one digest stands for all of it.

use super::super::Want;
use super::hashed;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The digest of the section for these wants, all of which ask for presence, where all are settled.
pub(super) fn digest(wants: &[&Want]) -> String {
    let mut text = String::new();
    for line in wants.iter().filter_map(|w| stat_line(w)) {
        text.push_str(&line);
        text.push('\n');
    }
    let sums: Vec<String> =
        wants.iter().filter_map(|w| hashed(w)).filter_map(|f| Some(format!("{}  {}", f.body.as_ref()?.sha256()?, f.path))).collect();
    let _ = writeln!(text, "{}", sums.join("\n"));
    data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
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
