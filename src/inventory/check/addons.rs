//! Add-ons: known names, what they need, and the files they name.

use super::super::model::AddonEntry;
use super::super::names::is_label;
use super::super::problem::Sink;
use super::super::raw::{Addon, At};
use super::super::table::nearest;
use super::super::{CATALOGUE, IMPLIED, glob};
use super::cluster::not_a_label;
use super::nodes::unique;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

pub(super) fn check(raw: &[Addon], home: &Path, sink: &mut Sink) -> Vec<AddonEntry> {
    let named = raw.iter().filter_map(|a| a.name.as_ref().map(|n| (n.get_ref().clone(), n.span())));
    unique("add-ons share the name", "list every add-on once", named, sink);
    for addon in raw {
        source(addon, home, sink);
    }
    needs(raw, sink);
    raw.iter().map(entry).collect()
}

fn entry(addon: &Addon) -> AddonEntry {
    let texts = |list: &[At<String>]| list.iter().map(|t| t.get_ref().clone()).collect();
    AddonEntry {
        name: addon.name.as_ref().map(|n| n.get_ref().clone()).unwrap_or_default(),
        needs: texts(&addon.needs),
        manifests: addon.manifests.as_ref().map(|m| texts(m.get_ref())).unwrap_or_default(),
    }
}

fn source(addon: &Addon, home: &Path, sink: &mut Sink) {
    if let Some(name) = addon.name.as_ref().filter(|n| !is_label(n.get_ref())) {
        not_a_label("the add-on's name", name, sink);
    }
    if let Some(chart) = &addon.chart {
        sink.error(chart, "charts are not supported yet")
            .help("render the chart (`helm template … > media.yaml`) and name the file in `manifests`");
        return;
    }
    let Some(manifests) = &addon.manifests else {
        if let Some(name) = addon.name.as_ref().filter(|n| is_label(n.get_ref()) && !CATALOGUE.contains(&n.get_ref().as_str())) {
            let known = CATALOGUE.join(", ");
            let meant = nearest(name.get_ref(), &CATALOGUE).map(|m| format!("did you mean `{m}`? "));
            sink.error(&name.span(), format!("`{}` is not in the catalogue and has no `manifests`", name.get_ref()))
                .help(format!("{}the catalogue has {known}; your own needs manifests = [\"FILES\"]", meant.unwrap_or_default()));
        }
        return;
    };
    if manifests.get_ref().is_empty() {
        sink.error(&manifests.span(), "`manifests` is empty").help("name files, as in [\"media/*.yaml\"]");
    }
    for pattern in manifests.get_ref() {
        files(pattern, home, sink);
    }
}

fn files(at: &At<String>, home: &Path, sink: &mut Sink) {
    let pattern = at.get_ref();
    let inside = Path::new(pattern).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if pattern.is_empty() || !inside {
        sink.error(&at.span(), format!("`{pattern}` leads out of the inventory's folder"))
            .help("manifests lie beside or below the inventory, so that they travel with it");
        return;
    }
    match glob::expand(home, pattern) {
        Ok(found) if found.is_empty() => {
            sink.error(&at.span(), format!("no file matches `{pattern}`")).help(format!("looked below {}", home.display()));
        }
        Ok(found) => {
            for file in found.iter().filter(|file| !stays(home, file)) {
                sink.error(&at.span(), format!("`{}` is a link that leads out of the inventory's folder", file.display()))
                    .help("copy what it leads to: manifests lie beside or below the inventory, so that they travel with it");
            }
        }
        Err(e) => {
            sink.error(&at.span(), format!("cannot look for `{pattern}`: {e}"));
        }
    }
}

/// Whether the file is where its name says, and not elsewhere by a link: somebody else's inventory reads no file of ours.
fn stays(home: &Path, file: &Path) -> bool {
    let home = if home.as_os_str().is_empty() { Path::new(".") } else { home };
    let real = |path: &Path| path.canonicalize().ok();
    real(&home.join(file)).zip(real(home)).is_some_and(|(file, home)| file.starts_with(home))
}

fn needs(raw: &[Addon], sink: &mut Sink) {
    let mut by_name: BTreeMap<&str, &Addon> = BTreeMap::new();
    for addon in raw {
        if let Some(name) = &addon.name {
            by_name.entry(name.get_ref()).or_insert(addon);
        }
    }
    let names: Vec<&str> = by_name.keys().copied().chain([IMPLIED]).collect();
    for addon in raw {
        for need in &addon.needs {
            if names.contains(&need.get_ref().as_str()) {
                continue;
            }
            let wanted = need.get_ref();
            let problem = sink.error(&need.span(), format!("nothing is called `{wanted}` here"));
            if CATALOGUE.contains(&wanted.as_str()) {
                problem.help(format!("it is in the catalogue: add [[addon]] with name = \"{wanted}\""));
            } else if let Some(near) = nearest(wanted, &names) {
                problem.help(format!("did you mean `{near}`?"));
            } else {
                problem.help("`needs` names other add-ons of this inventory");
            }
        }
    }
    circles(&by_name, sink);
}

/// Takes away, again and again, what needs nothing that is left; what stays is in a circle or needs one.
fn circles(by_name: &BTreeMap<&str, &Addon>, sink: &mut Sink) {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, addon) in by_name {
        let needs: BTreeSet<&str> = addon.needs.iter().map(|n| n.get_ref().as_str()).filter(|n| by_name.contains_key(n)).collect();
        for need in &needs {
            users.entry(need).or_default().push(name);
        }
        left.insert(name, needs);
    }
    let mut free: Vec<&str> = left.iter().filter(|(_, needs)| needs.is_empty()).map(|(n, _)| *n).collect();
    while let Some(name) = free.pop() {
        left.remove(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(needs) = left.get_mut(user)
                && needs.remove(name)
                && needs.is_empty()
            {
                free.push(user);
            }
        }
    }
    // One circle a set: walk along needs that are left until a name comes again.
    while let Some(start) = left.keys().next().copied() {
        let mut walk = vec![start];
        let mut seen = BTreeSet::from([start]);
        let circle = loop {
            let at = walk[walk.len() - 1];
            let Some(next) = left.get(at).and_then(|needs| needs.iter().find(|n| left.contains_key(*n))) else { break None };
            if !seen.insert(next) {
                break walk.iter().position(|w| w == next);
            }
            walk.push(next);
        };
        if let Some(from) = circle {
            tell_circle(&walk[from..], by_name, sink);
        }
        for name in walk {
            left.remove(name);
        }
    }
}

fn tell_circle(circle: &[&str], by_name: &BTreeMap<&str, &Addon>, sink: &mut Sink) {
    let mut told: Vec<&str> = circle.to_vec();
    told.push(circle[0]);
    let next = told[1];
    let Some(need) = by_name.get(circle[0]).and_then(|a| a.needs.iter().find(|n| n.get_ref() == next)) else { return };
    let message = if circle.len() == 1 {
        format!("`{next}` needs itself")
    } else {
        format!("add-ons need each other in a circle: {}", told.join(" → "))
    };
    sink.error(&need.span(), message).help("remove one of these needs");
}
