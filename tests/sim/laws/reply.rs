//! What a machine would answer to a look, line by line, with the want that each line answers.

use homectl::want::{Body, File, UnitState, Want};

/// How the machine is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    /// Everything as wanted; files told by the one digest that stands for all of them.
    Settled,
    /// Everything as wanted; files told one by one.
    OpenedUp,
    /// Nothing of ours.
    Fresh,
}

/// One line of a reply.
#[derive(Clone)]
pub(crate) struct Line {
    /// The want it answers; `None` for frames and what may be missing.
    pub(crate) want: Option<usize>,
    pub(crate) text: String,
}

/// What a machine says of one want, if it is of the kind.
type Answer = fn(&Want, Host) -> Option<String>;

/// The whole reply of a machine to a look at `wants`, all of them present or all absent.
pub(crate) fn reply(wants: &[Want], host: Host) -> Vec<Line> {
    let mut lines = Vec::new();
    inodes(&mut lines, wants, host);
    let sections: [(&str, Answer); 8] = [
        ("leaves", leaf),
        ("programs", program),
        ("packages", packages),
        ("accounts", account),
        ("units", unit),
        ("sysctls", sysctl),
        ("modules", module),
        ("guards", guard),
    ];
    for (name, answer) in sections {
        let answers = wants.iter().enumerate().filter_map(|(i, w)| Some((i, answer(w, host)?)));
        let mut some: Vec<Line> = answers.flat_map(|(i, text)| numbered(name, i, &text)).collect();
        if !some.is_empty() {
            lines.push(frame(&format!("@{name}")));
            lines.append(&mut some);
        }
    }
    reads(&mut lines, wants, host);
    lines.extend(["@dropins", "."].map(frame));
    lines.push(frame("@end"));
    lines
}

/// As it comes over the wire.
pub(crate) fn text(lines: &[Line]) -> String {
    lines.iter().flat_map(|l| [l.text.as_str(), "\n"]).collect()
}

fn frame(text: &str) -> Line {
    Line { want: None, text: text.into() }
}

/// Most answers begin with the want's place; those of units and packages do not.
fn numbered(section: &str, i: usize, answer: &str) -> Vec<Line> {
    match section {
        // Blocks are parted by empty lines. A property that has no value may be left out.
        "units" => {
            let needed = |l: &str| ["Id=", "LoadState=", "ActiveState="].iter().any(|key| l.starts_with(key));
            answer.lines().map(|l| Line { want: needed(l).then_some(i), text: l.into() }).chain([frame("")]).collect()
        }
        // A package that is not named is not there: no line is missing.
        "packages" => answer.lines().map(frame).collect(),
        _ => vec![Line { want: Some(i), text: format!("{i} {answer}") }],
    }
}

fn path(want: &Want) -> Option<&str> {
    match want {
        Want::Dir(w) => Some(&w.path),
        Want::File(w) => Some(&w.path),
        Want::Link(w) => Some(&w.path),
        _ => None,
    }
}

fn present(want: &Want) -> bool {
    match want {
        Want::Dir(w) => w.present,
        Want::File(w) => w.body.is_some(),
        Want::Link(w) => w.target.is_some(),
        _ => true,
    }
}

fn hashed(want: &Want) -> Option<(&File, &Body)> {
    if let Want::File(f) = want { f.body.as_ref().filter(|b| !f.seed && b.sha256().is_some()).map(|b| (f, b)) } else { None }
}

fn inodes(lines: &mut Vec<Line>, wants: &[Want], host: Host) {
    let all: Vec<(usize, &Want, &str)> = wants.iter().enumerate().filter_map(|(i, w)| Some((i, w, path(w)?))).collect();
    let (here, gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, w, _)| present(w));
    let missing =
        |(i, _, p): &(usize, &Want, &str)| Line { want: Some(*i), text: format!("stat: cannot statx '{p}': No such file or directory") };
    if !here.is_empty() {
        lines.push(frame("@inodes"));
        match host {
            Host::Settled => lines.push(frame("=")),
            Host::Fresh => lines.extend(here.iter().map(missing)),
            Host::OpenedUp => lines.extend(here.iter().map(|(i, w, _)| Line { want: Some(*i), text: stat(w) })),
        }
        if host != Host::Settled {
            lines.push(frame("#"));
        }
        if host == Host::OpenedUp {
            let sums = here.iter().filter_map(|(i, w, p)| Some((*i, hashed(w)?.1.sha256()?, *p)));
            lines.extend(sums.map(|(i, sum, p)| Line { want: Some(i), text: format!("{sum}  {p}") }));
        }
    }
    if !gone.is_empty() {
        lines.push(frame("@gone"));
        lines.extend(gone.iter().map(missing));
        lines.push(frame("#"));
    }
}

fn stat(want: &Want) -> String {
    match want {
        Want::Dir(d) => format!("{0}|{1:x}|{2}|{0}", d.path, 0o040_000 | d.mode, d.owner),
        Want::File(f) => format!("{0}|{1:x}|{2}|{0}", f.path, 0o100_000 | f.mode, f.owner),
        Want::Link(l) => format!("{0}|a1ff|root:root|{0} -> {1}", l.path, l.target.as_deref().unwrap_or_default()),
        _ => String::new(),
    }
}

fn leaf(want: &Want, host: Host) -> Option<String> {
    let Want::Leaf(l) = want else { return None };
    if host == Host::Fresh { Some("absent".into()) } else { Some(format!("{:x}|{} = =", 0o100_000 | l.mode, l.owner)) }
}

fn program(want: &Want, host: Host) -> Option<String> {
    matches!(want, Want::Program(_)).then(|| if host == Host::Fresh { "absent" } else { "ok" }.into())
}

fn packages(want: &Want, host: Host) -> Option<String> {
    let Want::Packages(p) = want else { return None };
    Some(if host == Host::Fresh { String::new() } else { p.names.join("\n") })
}

fn account(want: &Want, host: Host) -> Option<String> {
    let Want::Account(a) = want else { return None };
    let line = || format!("{0}:x:990:990:made by homectl:/nonexistent:/usr/sbin/nologin|{0}:x:990:", a.name);
    Some(if host == Host::Fresh { "|".into() } else { line() })
}

fn unit(want: &Want, host: Host) -> Option<String> {
    let Want::Unit(u) = want else { return None };
    let (load, active, file, fragment) = match (host, u.state) {
        (Host::Fresh, _) | (_, UnitState::Stopped) => ("not-found", "inactive", "", String::new()),
        (_, UnitState::Masked) => ("masked", "inactive", "masked", String::new()),
        (_, UnitState::Running) => ("loaded", "active", "enabled", format!("/etc/systemd/system/{}", u.name)),
    };
    Some(format!(
        "Id={}\nLoadState={load}\nActiveState={active}\nSubState=x\nUnitFileState={file}\nFragmentPath={fragment}\nDropInPaths=\n\
         InactiveExitTimestamp=@200\nStateChangeTimestamp=@200",
        u.name
    ))
}

fn reads(lines: &mut Vec<Line>, wants: &[Want], host: Host) {
    lines.push(frame("@reads"));
    for (i, want) in wants.iter().enumerate() {
        let Want::Unit(u) = want else { continue };
        for (reload, when) in [(false, "start"), (true, "reload")] {
            let newest = u.reads.iter().filter(|(_, r)| *r == reload).map(|(p, _)| format!("100 {p}")).next_back();
            if let Some(newest) = newest {
                let told = if host == Host::Fresh { String::new() } else { newest };
                lines.push(Line { want: Some(i), text: format!("{i} {when} {told}") });
            }
        }
    }
}

fn sysctl(want: &Want, host: Host) -> Option<String> {
    let Want::Sysctl(s) = want else { return None };
    Some(if host == Host::Fresh { "= 4711".into() } else { format!("= {}", s.value) })
}

fn module(want: &Want, host: Host) -> Option<String> {
    matches!(want, Want::Module(_)).then(|| if host == Host::Fresh { "no" } else { "yes" }.into())
}

fn guard(want: &Want, host: Host) -> Option<String> {
    matches!(want, Want::Guard(_)).then(|| if host == Host::Fresh { "1" } else { "0" }.into())
}
