//! The cluster's name and versions.

use super::super::names::{is_label, mend_label};
use super::super::problem::Sink;
use super::super::raw::{At, Cluster};
use super::super::tested::{TESTED, Versions};
use semver::Version;

pub(super) fn check(raw: &Cluster, sink: &mut Sink) -> (String, Version, Versions) {
    let name = raw.name.as_ref().map(|n| n.get_ref().clone()).unwrap_or_default();
    if let Some(at) = &raw.name
        && !is_label(&name)
    {
        not_a_label("the cluster's name", at, sink);
    }
    let newest = &TESTED[0];
    let chosen = raw.kubernetes.as_ref().and_then(|k| kubernetes(k, sink)).unwrap_or(newest.kubernetes);
    let set = TESTED.iter().find(|t| t.kubernetes == chosen).unwrap_or(newest);
    let mut versions = Versions::from(set);
    for (key, at) in &raw.versions {
        let Some(version) = component(key, at, sink) else { continue };
        match *key {
            "etcd" => versions.etcd = version,
            "containerd" => versions.containerd = version,
            "runc" => versions.runc = version,
            "cni-plugins" => versions.cni_plugins = version,
            _ => versions.kube_router = version,
        }
    }
    // The table's own versions parse: a test says so.
    let kubernetes = Version::parse(set.kubernetes).unwrap_or_else(|_| Version::new(0, 0, 0));
    (name, kubernetes, versions)
}

/// Says that a name is not an RFC 1123 label and what it could be.
pub(super) fn not_a_label(what: &str, at: &At<String>, sink: &mut Sink) {
    let name = at.get_ref();
    let problem = sink.error(&at.span(), format!("{what} `{name}` is not a DNS label"));
    let rule = "1 to 63 lower-case letters, digits and `-`, with a letter or digit at both ends";
    problem.help(mend_label(name).map_or_else(|| rule.to_owned(), |mended| format!("`{mended}` would do: {rule}")));
}

fn kubernetes(at: &At<String>, sink: &mut Sink) -> Option<&'static str> {
    let text = at.get_ref().trim();
    if let Some(known) = TESTED.iter().find(|t| t.kubernetes == text) {
        return Some(known.kubernetes);
    }
    let bare = text.strip_prefix('v').unwrap_or(text);
    let supported = TESTED.map(|t| t.kubernetes).join(" or ");
    if let Some(same) = TESTED.iter().find(|t| t.kubernetes == bare) {
        sink.error(&at.span(), "the version is written without `v`").help(format!("write kubernetes = \"{}\"", same.kubernetes));
    } else if let Some(full) = TESTED.iter().find(|t| t.kubernetes.starts_with(&format!("{bare}."))) {
        sink.error(&at.span(), format!("`{text}` is not one full version")).help(format!("write kubernetes = \"{}\"", full.kubernetes));
    } else if Version::parse(bare).is_ok() {
        sink.error(&at.span(), format!("Kubernetes {bare} is not supported by this homectl"))
            .help(format!("tested and supported: {supported}"));
    } else {
        sink.error(&at.span(), format!("`{text}` is not a version")).help(format!("one full version: {supported}"));
    }
    None
}

fn component(key: &str, at: &At<String>, sink: &mut Sink) -> Option<String> {
    let bare = at.get_ref().strip_prefix('v').unwrap_or(at.get_ref());
    if Version::parse(bare).is_ok() {
        return Some(format!("v{bare}"));
    }
    sink.error(&at.span(), format!("`{}` is not a full version of {key}", at.get_ref())).help("three numbers, as in \"1.2.3\"");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tested_sets_are_versions() {
        for set in TESTED {
            assert!(Version::parse(set.kubernetes).is_ok());
            for v in [set.etcd, set.containerd, set.runc, set.cni_plugins, set.kube_router] {
                assert!(v.strip_prefix('v').is_some_and(|v| Version::parse(v).is_ok()), "{v}");
            }
        }
    }
}
