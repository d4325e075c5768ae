//! Checksum files as upstreams write them: a bare sum, lines of `sha256sum`, or BSD's `SHA256 (name) = sum`.

/// The sum of the file `name`; `None` when the list is one but does not have it.
///
/// # Errors
/// Nothing in the text is a sum: what it begins with.
pub(super) fn find(text: &str, name: &str) -> Result<Option<String>, String> {
    let mut any = false;
    for line in text.lines() {
        let Some((sum, file)) = parse(line) else { continue };
        any = true;
        if file.is_none_or(|f| f.rsplit('/').next() == Some(name)) {
            return Ok(Some(sum));
        }
    }
    if any {
        return Ok(None);
    }
    let start: String = text.trim_start().chars().take(60).collect();
    Err(if start.is_empty() { "it is empty".to_owned() } else { format!("it begins with {start:?}") })
}

/// A sum, and the name it belongs to where the line has one.
fn parse(line: &str) -> Option<(String, Option<&str>)> {
    let line = line.trim();
    if let Some((name, sum)) = line.strip_prefix("SHA256 (").and_then(|rest| rest.split_once(") = ")) {
        return Some((hex(sum)?, Some(name)));
    }
    match line.split_once(char::is_whitespace) {
        None => Some((hex(line)?, None)),
        Some((sum, name)) => Some((hex(sum)?, Some(name.trim_start().trim_start_matches('*')))),
    }
}

fn hex(s: &str) -> Option<String> {
    (s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit())).then(|| s.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn every_form() {
        let two = format!("{A}  runc.amd64\n{B} *runc.arm64\n");
        for (text, name, sum) in [
            (A.to_owned(), "kubelet", A),
            (format!("{}\n", A.to_uppercase()), "kubelet", A),
            (two.clone(), "runc.amd64", A),
            (two.clone(), "runc.arm64", B),
            (format!("{A}  ./dist/x.tgz\r\n"), "x.tgz", A),
            (format!("SHA256 (x.tgz) = {B}"), "x.tgz", B),
            (format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{A}  x\n"), "x", A),
        ] {
            assert_eq!(find(&text, name), Ok(Some(sum.to_owned())), "{text}");
        }
        assert_eq!(find(&two, "runc.riscv64"), Ok(None));
        // A name that only ends like ours is another file's.
        assert_eq!(find(&format!("{A}  not-x"), "x"), Ok(None));
        assert_eq!(find("", "x"), Err("it is empty".to_owned()));
        assert!(find("<!DOCTYPE html><html>", "x").unwrap_err().contains("<!DOCTYPE"));
        assert!(find(&A[1..], "x").is_err());
    }
}
