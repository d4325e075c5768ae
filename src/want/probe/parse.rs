//! A look's reply → one observation a want. What was not answered is *unknown*, never *absent*.

use super::super::leaf::certificate_of;
use super::super::seen::{GuardSeen, Inode, InodeKind, Seen, UnitSeen};
use super::super::{File, Leaf, Obstacle, Unit, Want};
use super::pack::unpacked;
use super::{hashed, inode_path, present, read};
use std::collections::BTreeMap;

/// Parses the reply of [`super::compile()`] for the same `wants`, in their order.
#[must_use]
pub fn parse(wants: &[Want], reply: &str) -> Vec<Seen> {
    let unknown = |why: String| wants.iter().map(|_| Seen::Unknown(why.clone())).collect();
    let reply = match unpacked(reply) {
        Ok(reply) => reply,
        Err(why) => return unknown(why),
    };
    let sections = match split(&reply) {
        Ok(sections) => sections,
        Err(why) => return unknown(why),
    };
    let empty = Vec::new();
    let lines = |name: &str| sections.get(name).unwrap_or(&empty);
    let (here, gone) = (Inodes::new(lines("inodes")), Inodes::new(lines("gone")));
    let numbered: BTreeMap<usize, &str> =
        ["leaves", "programs", "accounts", "sysctls", "modules"].iter().flat_map(|s| lines(s)).filter_map(|l| numbered(l)).collect();
    let guards = guards(lines("guards"));
    let texts = texts(lines("texts"));
    let units = unit_blocks(lines("units"));
    wants
        .iter()
        .enumerate()
        .map(|(i, want)| match want {
            Want::File(file) if read(want).is_some() => with_text(file, here.seen(want), &texts),
            Want::Dir(_) | Want::File(_) | Want::Link(_) if present(want) => here.seen(want),
            Want::Dir(_) | Want::File(_) | Want::Link(_) => gone.seen(want),
            Want::Guard(_) => guards.get(&i).map_or_else(missing, |g| Seen::Guard(g.clone())),
            Want::Unit(unit) => {
                let seen = unit_seen(i, unit, &units, lines("reads"));
                seen.and_then(|seen| with_drop_ins(&unit.name, seen, lines("dropins"))).map_or_else(missing, Seen::Unit)
            }
            Want::Packages(_) => packages(lines("packages")),
            Want::Object(_) => Seen::Unknown("objects are looked at through the API".into()),
            Want::Leaf(leaf) => numbered.get(&i).map_or_else(missing, |l| leaf_seen(leaf, l, texts.get(&leaf.ca_path))),
            Want::Account(_) | Want::Module(_) | Want::Program(_) | Want::Sysctl(_) => {
                numbered.get(&i).map_or_else(missing, |l| simple(want, l))
            }
        })
        .collect()
}

/// Parses the reply of [`super::open`]: text by path. Files that are not UTF-8 or too large are left out.
#[must_use]
pub fn opened(reply: &str) -> BTreeMap<String, String> {
    texts(&reply.lines().filter(|l| l.starts_with('/')).collect::<Vec<_>>())
}

/// `PATH BASE64` a line.
fn texts(lines: &[&str]) -> BTreeMap<String, String> {
    let text = |line: &&str| {
        let (path, data) = line.split_once(' ')?;
        let bytes = data_encoding::BASE64.decode(data.trim().as_bytes()).ok()?;
        Some((path.to_owned(), String::from_utf8(bytes).ok()?))
    };
    lines.iter().filter_map(text).collect()
}

/// What the reply of [`super::open`] says of places that do not let themselves be written, by place.
#[must_use]
pub fn obstacles(reply: &str) -> BTreeMap<String, Obstacle> {
    let said = reply.lines().filter_map(|line| {
        let words: Vec<&str> = line.strip_prefix('!')?.split(' ').collect();
        let [flag, place, entry] = words.as_slice() else { return None };
        let obstacle = match *flag {
            "i" => Obstacle::Immutable,
            "a" => Obstacle::AppendOnly,
            "r" => Obstacle::ReadOnly,
            _ => Obstacle::Closed,
        };
        Some(((*place).to_owned(), obstacle((*entry).to_owned())))
    });
    let mut found = BTreeMap::new();
    for (place, obstacle) in said {
        // `chattr` is why such an entry cannot be written to; else the place itself says more than its folder.
        if matches!(obstacle, Obstacle::Immutable(_) | Obstacle::AppendOnly(_)) {
            found.insert(place, obstacle);
        } else {
            found.entry(place).or_insert(obstacle);
        }
    }
    found
}

/// Names, a line each; `!` begins what went wrong.
fn packages(lines: &[&str]) -> Seen {
    match lines.iter().find_map(|l| l.strip_prefix('!')) {
        Some(why) => Seen::Unknown(why.to_owned()),
        None => Seen::Packages(lines.iter().map(|l| (*l).to_owned()).collect()),
    }
}

fn missing() -> Seen {
    Seen::Unknown("the look gave no answer for it".into())
}

fn split(reply: &str) -> Result<BTreeMap<&str, Vec<&str>>, String> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in reply.lines() {
        match line.strip_prefix('@') {
            Some(name) => {
                sections.entry(name).or_default();
                current = Some(name);
            }
            None => {
                if let Some(name) = current {
                    sections.entry(name).or_default().push(line);
                }
            }
        }
    }
    if sections.contains_key("end") {
        return Ok(sections);
    }
    Err(format!("the look was cut short; its last line: {:?}", reply.lines().last().unwrap_or_default()))
}

fn numbered(line: &str) -> Option<(usize, &str)> {
    let (n, rest) = line.split_once(' ')?;
    Some((n.parse().ok()?, rest))
}

/// The file-system section.
struct Inodes<'a> {
    same: bool,
    stats: BTreeMap<&'a str, (&'a str, &'a str, &'a str)>,
    sums: BTreeMap<&'a str, &'a str>,
    absent: Vec<&'a str>,
    errors: Vec<&'a str>,
}

impl<'a> Inodes<'a> {
    fn new(lines: &[&'a str]) -> Self {
        let mut me = Self { same: lines == ["="], stats: BTreeMap::new(), sums: BTreeMap::new(), absent: Vec::new(), errors: Vec::new() };
        let middle = lines.iter().position(|l| *l == "#").unwrap_or(lines.len());
        for line in &lines[..middle] {
            let mut parts = line.splitn(4, '|');
            if let (Some(path), Some(mode), Some(owner), Some(name)) = (parts.next(), parts.next(), parts.next(), parts.next()) {
                me.stats.insert(path, (mode, owner, name));
            } else if line.ends_with(": No such file or directory") || line.ends_with(": Not a directory") {
                // stat: cannot statx '/x': No such file or directory
                me.absent.extend(line.split('\'').nth(1));
            } else {
                me.errors.push(line);
            }
        }
        for line in lines.get(middle + 1..).unwrap_or_default() {
            match line.split_once("  ") {
                Some((sum, path)) if sum.len() == 64 => {
                    me.sums.insert(path, sum);
                }
                _ => me.errors.push(line),
            }
        }
        me
    }

    fn seen(&self, want: &Want) -> Seen {
        let path = inode_path(want).unwrap_or_default();
        if self.same {
            return Seen::Same;
        }
        let Some((mode, owner, name)) = self.stats.get(path) else {
            if self.absent.contains(&path) {
                return Seen::Absent;
            }
            let why = self.errors.iter().find(|e| e.contains(path)).copied().unwrap_or("no answer");
            return Seen::Unknown(format!("cannot look at {path}: {why}"));
        };
        let Ok(raw) = u32::from_str_radix(mode, 16) else { return Seen::Unknown(format!("mode {mode:?} of {path}")) };
        let kind = match raw & 0o170_000 {
            0o100_000 => InodeKind::File,
            0o040_000 => InodeKind::Dir,
            0o120_000 => InodeKind::Link(name.split_once(" -> ").map(|(_, to)| to.to_owned()).unwrap_or_default()),
            _ => InodeKind::Other,
        };
        let sha256 = self.sums.get(path).map(|s| (*s).to_owned());
        if kind == InodeKind::File && hashed(want).is_some() && sha256.is_none() {
            let why = self.errors.iter().find(|e| e.contains(path)).copied().unwrap_or("it was not hashed");
            return Seen::Unknown(format!("cannot read {path}: {why}"));
        }
        Seen::Inode(Inode { kind, mode: raw & 0o7777, owner: (*owner).to_owned(), sha256, text: None })
    }
}

/// What was seen of a file, and the text in it; what should have been read and was not is unknown.
fn with_text(file: &File, seen: Seen, texts: &BTreeMap<String, String>) -> Seen {
    let inode = match seen {
        Seen::Same => Inode { kind: InodeKind::File, mode: file.mode, owner: file.owner.clone(), sha256: None, text: None },
        Seen::Inode(inode) if inode.kind == InodeKind::File => inode,
        other => return other,
    };
    match texts.get(&file.path) {
        Some(text) => Seen::Inode(Inode { text: Some(text.clone()), ..inode }),
        None => Seen::Unknown(format!("cannot read {}, or it is no text", file.path)),
    }
}

fn leaf_seen(leaf: &Leaf, line: &str, ca: Option<&String>) -> Seen {
    if line == "absent" {
        return Seen::Absent;
    }
    if let Some(why) = line.strip_prefix("failed ") {
        return Seen::Unknown(why.to_owned());
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [stat, rest, data] = words.as_slice() else { return Seen::Unknown(format!("unreadable answer {line:?}")) };
    let Some((mode, owner)) = stat.split_once('|') else { return Seen::Unknown(format!("unreadable answer {line:?}")) };
    let Ok(raw) = u32::from_str_radix(mode, 16) else { return Seen::Unknown(format!("mode {mode:?}")) };
    let kind = match raw & 0o170_000 {
        0o100_000 => InodeKind::File,
        0o040_000 => InodeKind::Dir,
        0o120_000 => InodeKind::Link(String::new()),
        _ => InodeKind::Other,
    };
    let (pem, rest) = if *data == "=" {
        (leaf.file().and_then(|file| certificate_of(&leaf.form, file.expose())).unwrap_or_default(), None)
    } else {
        let Some(pem) = pem(data) else { return Seen::Unknown(format!("unreadable answer {line:?}")) };
        (pem, Some((*rest).to_owned()).filter(|r| r.len() == 64))
    };
    Seen::Leaf { inode: Inode { kind, mode: raw & 0o7777, owner: owner.to_owned(), sha256: rest, text: None }, pem, ca: ca.cloned() }
}

/// The PEM of which the look told the letters; `-` where there was none.
fn pem(letters: &str) -> Option<String> {
    if letters == "-" {
        return Some(String::new());
    }
    data_encoding::BASE64.decode(letters.as_bytes()).ok()?;
    Some(format!("-----BEGIN CERTIFICATE-----\n{letters}\n-----END CERTIFICATE-----\n"))
}

fn simple(want: &Want, line: &str) -> Seen {
    if line == "absent" {
        return Seen::Absent;
    }
    if let Some(why) = line.strip_prefix("failed ") {
        return Seen::Unknown(why.to_owned());
    }
    match want {
        Want::Account(_) => account(line).unwrap_or_else(|| Seen::Unknown(format!("unreadable answer {line:?}"))),
        Want::Module(_) if line == "yes" => Seen::Same,
        Want::Module(_) if line == "no" => Seen::Absent,
        Want::Program(_) if line == "ok" => Seen::Program(Ok(())),
        Want::Program(_) => match line.strip_prefix("off ") {
            Some(why) => Seen::Program(Err(why.to_owned())),
            None => Seen::Unknown(format!("unreadable answer {line:?}")),
        },
        Want::Sysctl(_) => match line.strip_prefix("= ") {
            Some(v) => Seen::Sysctl(v.split_whitespace().collect::<Vec<_>>().join(" ")),
            None => Seen::Unknown(format!("unreadable answer {line:?}")),
        },
        _ => missing(),
    }
}

/// The user's line, `|`, its group's line; either may be empty.
fn account(line: &str) -> Option<Seen> {
    let (user, group) = line.rsplit_once('|')?;
    let whole = |text: &str, fields: usize| text.is_empty() || text.split(':').count() == fields;
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    (whole(user, 7) && whole(group, 4)).then(|| Seen::Account { user: some(user), group: some(group) })
}

fn guards(lines: &[&str]) -> BTreeMap<usize, GuardSeen> {
    let mut seen: BTreeMap<usize, GuardSeen> = BTreeMap::new();
    let mut current = None;
    for line in lines {
        if let Some(text) = line.strip_prefix('|') {
            if let Some(g) = current.and_then(|i| seen.get_mut(&i)) {
                g.output.push_str(text);
                g.output.push('\n');
            }
        } else if let Some((i, status)) = numbered(line) {
            seen.insert(i, GuardSeen { status: status.trim().parse().unwrap_or(-1), output: String::new() });
            current = Some(i);
        }
    }
    seen
}

/// A unit's block, and what it reads: `INDEX start|reload SECONDS PATH`, or nothing behind the second word where there is
/// nothing to read yet. `None` where any of it is missing.
fn unit_seen(i: usize, unit: &Unit, units: &BTreeMap<String, UnitSeen>, lines: &[&str]) -> Option<UnitSeen> {
    let mut seen = units.get(&unit.name).filter(|u| !u.load.is_empty() && !u.active.is_empty())?.clone();
    for (reload, when) in [(false, "start"), (true, "reload")] {
        if !unit.reads.iter().any(|(_, r)| *r == reload) {
            continue;
        }
        let mut own = lines.iter().filter_map(|l| numbered(l)).filter(|(n, _)| *n == i);
        let newest = own.find_map(|(_, rest)| rest.strip_prefix(when))?.trim();
        let newest = match newest.split_once(' ') {
            Some((at, path)) => Some((at.parse().ok()?, path.to_owned())),
            None if newest.is_empty() => None,
            None => return None,
        };
        if reload { seen.reload_read = newest } else { seen.restart_read = newest }
    }
    Some(seen)
}

/// Adds the drop-ins that lie there and that systemd has not read yet. A dot is behind the last one; without it some may be missing.
fn with_drop_ins(name: &str, mut unit: UnitSeen, paths: &[&str]) -> Option<UnitSeen> {
    let (end, paths) = paths.split_last()?;
    if *end != "." {
        return None;
    }
    let mine = format!("/{name}.d/");
    for path in paths.iter().filter(|path| path.contains(&mine)) {
        if !unit.drop_ins.iter().any(|known| known == path) {
            unit.drop_ins.push((*path).to_owned());
        }
    }
    Some(unit)
}

/// `@1795309219`, or nothing where it never happened.
fn unix(value: &str) -> i64 {
    value.trim_start_matches('@').parse().unwrap_or(0)
}

/// Blocks of properties by the unit's name, parted by empty lines.
fn unit_blocks(lines: &[&str]) -> BTreeMap<String, UnitSeen> {
    let mut units = BTreeMap::new();
    for block in lines.split(|line| !line.contains('=')) {
        let (mut name, mut unit) = (None, UnitSeen::default());
        for (key, value) in block.iter().filter_map(|line| line.split_once('=')) {
            let text = value.to_owned();
            match key {
                "Id" => name = Some(text),
                "LoadState" => unit.load = text,
                "ActiveState" => unit.active = text,
                "SubState" => unit.sub = text,
                "UnitFileState" => unit.file = text,
                "FragmentPath" => unit.fragment = text,
                "InactiveExitTimestamp" => unit.started = unix(value),
                "StateChangeTimestamp" => unit.changed = unix(value),
                "DropInPaths" => unit.drop_ins = value.split_whitespace().map(str::to_owned).collect(),
                _ => {}
            }
        }
        units.extend(name.map(|name| (name, unit)));
    }
    units
}

#[cfg(test)]
mod tests;
