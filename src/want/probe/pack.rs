//! A look's reply on its way here: compressed on the machine (with `gzip`, by which it gets its scripts too), since most of it
//! says the same of many things.

use flate2::read::GzDecoder;
use std::borrow::Cow;
use std::io::Read as _;

/// The line before a compressed reply; what follows it is base64.
const HEAD: &str = "@packed";
/// Bytes; a reply that is longer was not written by a look of ours.
const LONGEST: u64 = 64 << 20;

/// The script that runs `look` and prints what it prints, compressed.
pub(super) fn packed(look: &str) -> String {
    format!("{{\n{look}}} 2>&1 | {{\necho {HEAD}\ngzip -9n | base64\n}}\n")
}

/// What a look printed, compressed or not.
///
/// # Errors
/// It did not arrive whole: a fragment for messages.
pub(super) fn unpacked(reply: &str) -> Result<Cow<'_, str>, String> {
    unpacked_within(reply, LONGEST)
}

fn unpacked_within(reply: &str, longest: u64) -> Result<Cow<'_, str>, String> {
    let Some(body) = reply.strip_prefix(HEAD) else { return Ok(Cow::Borrowed(reply)) };
    let letters: Vec<u8> = body.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let bytes = data_encoding::BASE64.decode(&letters).map_err(|_| format!("the look's reply is damaged: {:?}", last(body)))?;
    let mut text = Vec::new();
    let read = GzDecoder::new(bytes.as_slice()).take(longest + 1).read_to_end(&mut text);
    let read = read.map_err(|e| format!("the look's reply is damaged ({e}): {:?}", last(body)))?;
    if read as u64 > longest {
        return Err(format!("the look's reply is longer than {longest} bytes, which no look of homectl writes"));
    }
    Ok(Cow::Owned(String::from_utf8_lossy(&text).into_owned()))
}

/// Its last line, which tells where it was cut, or what a program said that is not there.
fn last(body: &str) -> &str {
    body.trim_end().lines().last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn sh(script: &str) -> String {
        String::from_utf8(Command::new("sh").args(["-c", script]).output().unwrap().stdout).unwrap()
    }

    #[test]
    fn what_a_look_says_arrives_as_it_was_said() {
        let look = "for i in 1 2 3; do echo \"line $i\"; done; echo trouble >&2; printf '\\377\\n'\n";
        let reply = sh(&packed(look));
        assert_eq!(unpacked(&reply).unwrap(), "line 1\nline 2\nline 3\ntrouble\n\u{fffd}\n");
        assert_eq!(unpacked("@units\n@end\n").unwrap(), "@units\n@end\n");
    }

    #[test]
    fn a_reply_that_is_too_long_is_not_cut_in_silence() {
        let reply = sh(&packed("seq 1 100\n"));
        let length = unpacked(&reply).unwrap().len() as u64;
        assert!(unpacked_within(&reply, length).is_ok());
        let e = unpacked_within(&reply, length - 1).unwrap_err();
        assert!(e.contains(&format!("longer than {} bytes", length - 1)), "{e}");
    }

    #[test]
    fn a_reply_that_is_cut_or_spoiled_says_nothing() {
        let reply = sh(&packed("seq 1 100\n"));
        for end in HEAD.len()..reply.len() - 1 {
            assert!(unpacked(&reply[..end]).is_err(), "{end} of {}", reply.len());
        }
        for (at, with) in [(12, "?"), (30, "AAAA"), (reply.len() - 9, "A")] {
            let mut spoiled = reply.clone();
            spoiled.replace_range(at..at + with.len(), with);
            assert!(spoiled == reply || unpacked(&spoiled).is_err(), "{spoiled}");
        }
        let e = unpacked("@packed\nsh: 1: gzip: not found\n").unwrap_err();
        assert!(e.contains("gzip: not found"), "{e}");
    }
}
