//! `media/*.yaml` → files, in a stable order: `*` and `?` within a name, `**` for any depth. Hidden files only by name.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Folders below a `**` that are followed; more is a mistake.
const MAX_DEPTH: usize = 16;

/// Regular files below `home` that match, sorted; paths are relative to `home`. Not there is empty, not readable is an error.
///
/// # Errors
/// A folder that exists and cannot be read.
pub(crate) fn expand(home: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let parts = parts(pattern);
    let mut found = Vec::new();
    walk(home, Path::new(""), &parts, MAX_DEPTH, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

/// Whether [`expand`] would find `path`, were it there.
pub(crate) fn fits(pattern: &str, path: &Path) -> bool {
    let plain = |c: Component<'_>| if let Component::Normal(name) = c { name.to_str().map(str::to_owned) } else { None };
    let Some(names) = path.components().map(plain).collect::<Option<Vec<String>>>() else { return false };
    // At which of the path's names the parts that were looked at so far may have ended.
    let mut at = vec![false; names.len() + 1];
    at[0] = true;
    for part in parts(pattern) {
        let mut next = vec![false; at.len()];
        for i in 0..at.len() {
            next[i] = if part == "**" {
                at[i] || (i > 0 && next[i - 1] && !names[i - 1].starts_with('.'))
            } else {
                i > 0 && at[i - 1] && is_named(part, &names[i - 1])
            };
        }
        at = next;
    }
    !names.is_empty() && at[names.len()]
}

fn parts(pattern: &str) -> Vec<&str> {
    pattern.split('/').filter(|p| !p.is_empty() && *p != ".").collect()
}

/// Whether one part of a pattern, which is not `**`, stands for `name`.
fn is_named(part: &str, name: &str) -> bool {
    if part.contains(['*', '?']) { !name.starts_with('.') && matches(part, name) } else { part == name }
}

fn walk(home: &Path, at: &Path, parts: &[&str], depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let Some((part, rest)) = parts.split_first() else { return Ok(()) };
    if *part == "**" {
        walk(home, at, rest, depth, found)?;
        if depth > 0 {
            for name in names(&home.join(at))? {
                // Not behind links: they may lead in a circle.
                let real = std::fs::symlink_metadata(home.join(at).join(&name)).is_ok_and(|m| m.is_dir());
                if real && !name.starts_with('.') {
                    walk(home, &at.join(name), parts, depth - 1, found)?;
                }
            }
        }
        return Ok(());
    }
    let candidates = if part.contains(['*', '?']) {
        names(&home.join(at))?.into_iter().filter(|n| is_named(part, n)).collect()
    } else {
        vec![(*part).to_owned()]
    };
    for name in candidates {
        let path = at.join(name);
        if rest.is_empty() {
            if home.join(&path).is_file() {
                found.push(path);
            }
        } else if home.join(&path).is_dir() {
            walk(home, &path, rest, depth, found)?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(if folder.as_os_str().is_empty() { Path::new(".") } else { folder }) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    entries.filter_map(|e| e.map(|e| e.file_name().into_string().ok()).transpose()).collect()
}

/// Whether `name` fits a pattern of `*`, `?` and plain characters.
fn matches(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on when the last `*` has to take one more character.
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < n.len() {
        if p.get(i) == Some(&'*') {
            star = Some((i, j));
            i += 1;
        } else if p.get(i).is_some_and(|c| *c == '?' || *c == n[j]) {
            i += 1;
            j += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            i = at + 1;
            j = taken + 1;
        } else {
            return false;
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name) in [("*", "x"), ("*.yaml", "a.yaml"), ("a*b*c", "aXbYbc"), ("?.y", "a.y"), ("x", "x"), ("**", "x")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.yaml", "a.yml"), ("?", ""), ("a*b", "ac"), ("x", "xy"), ("", "x")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn files() {
        let home = tempfile::tempdir().unwrap();
        for f in ["m/b.yaml", "m/a.yaml", "m/.hidden.yaml", "m/n/c.yaml", "m/n/d.txt", "top.yaml"] {
            let path = home.path().join(f);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir(home.path().join("m/folder.yaml")).unwrap();
        let all = expand(home.path(), "**/*").unwrap().into_iter().chain(["m/.hidden.yaml".into()]);
        let all: Vec<PathBuf> = all.collect();
        let found = |p| {
            let found = expand(home.path(), p).unwrap();
            let mut fit: Vec<_> = all.iter().filter(|f| fits(p, f)).cloned().collect();
            fit.sort();
            assert_eq!(fit, found, "{p}");
            found.iter().map(|f| f.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("m/*.yaml"), ["m/a.yaml", "m/b.yaml"]);
        assert_eq!(found("**/*.yaml"), ["m/a.yaml", "m/b.yaml", "m/n/c.yaml", "top.yaml"]);
        assert_eq!(found("./m/.hidden.yaml"), ["m/.hidden.yaml"]);
        assert_eq!(found("*/?/c.yaml"), ["m/n/c.yaml"]);
        assert_eq!(found("m/**/c.yaml"), ["m/n/c.yaml"]);
        assert!(found("nothing/*.yaml").is_empty());
        for path in ["../up.yaml", "/m/a.yaml", "m/../a.yaml", ".git/a.yaml", ""] {
            assert!(!fits("**/*.yaml", Path::new(path)), "{path}");
        }
    }
}
