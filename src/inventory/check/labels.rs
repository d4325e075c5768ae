//! Labels and taints: their syntax, and those that are not the operator's to set.

use super::super::model::Taint;
use super::super::names::{check_key, is_name_part};
use super::super::problem::Sink;
use super::super::raw::{At, Node};
use super::super::table::nearest;
use std::collections::BTreeMap;

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(super) fn labels(node: &Node, sink: &mut Sink) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (key, value) in &node.labels {
        if let Err(why) = check_key(key.get_ref()) {
            sink.error(&key.span(), format!("`{}` is not a label's key", key.get_ref())).help(format!("{why}; as in \"example.net/gpu\""));
        } else if let Some((why, help)) = reserved(key.get_ref()) {
            sink.error(&key.span(), format!("the label `{}` cannot be set here: {why}", key.get_ref())).help(help);
        }
        if !value.get_ref().is_empty() && !is_name_part(value.get_ref()) {
            sink.error(&value.span(), format!("`{}` is not a label's value", value.get_ref()))
                .help("at most 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends; or nothing");
        }
        all.insert(key.get_ref().clone(), value.get_ref().clone());
    }
    all
}

/// Why a label of Kubernetes' own name space may not be set, and what to do instead.
fn reserved(key: &str) -> Option<(&'static str, &'static str)> {
    let (prefix, name) = key.split_once('/')?;
    let within = |space: &str| prefix == space || prefix.strip_suffix(space).is_some_and(|p| p.ends_with('.'));
    if !within("kubernetes.io") && !within("k8s.io") {
        return None;
    }
    match (prefix, name) {
        // The kubelet may set these on its own node.
        ("topology.kubernetes.io", "zone" | "region") | ("node.kubernetes.io", "instance-type") => None,
        _ if within("node.kubernetes.io") || within("kubelet.kubernetes.io") => None,
        ("node-role.kubernetes.io", _) => {
            Some(("a node may not give itself a role, homectl sets it", "set `role`; for other purposes take a label of your own domain"))
        }
        ("kubernetes.io", "hostname" | "os" | "arch") => Some(("the kubelet sets it from the machine", "remove it")),
        ("node-restriction.kubernetes.io", _) => {
            Some(("this name space is there to be out of a node's reach", "set it with kubectl, or take a label of your own domain"))
        }
        _ => {
            Some(("kubernetes.io and k8s.io belong to Kubernetes, its API refuses unknown names there", "take a label of your own domain"))
        }
    }
}

pub(super) fn taints(node: &Node, sink: &mut Sink) -> Vec<Taint> {
    let mut all: Vec<Taint> = Vec::new();
    for at in &node.taints {
        let Some(taint) = taint(at, sink) else { continue };
        if all.iter().any(|t| t.key == taint.key && t.effect == taint.effect) {
            sink.error(&at.span(), format!("a second taint `{}` with the effect {}", taint.key, taint.effect)).help("keep one of them");
        }
        all.push(taint);
    }
    all.sort();
    all
}

/// `key[=value]:Effect`, as kubectl writes it.
fn taint(at: &At<String>, sink: &mut Sink) -> Option<Taint> {
    let text = at.get_ref();
    let Some((rest, effect)) = text.rsplit_once(':') else {
        sink.error(&at.span(), format!("the taint `{text}` has no effect")).help(format!("write \"{text}:NoSchedule\""));
        return None;
    };
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    if !EFFECTS.contains(&effect) {
        let meant = EFFECTS.iter().find(|e| e.eq_ignore_ascii_case(effect)).copied().or_else(|| nearest(effect, &EFFECTS));
        let help = meant.map_or_else(|| EFFECTS.join(", "), |m| format!("did you mean `{m}`?"));
        sink.error(&at.span(), format!("`{effect}` is not an effect of a taint")).help(help);
        return None;
    }
    if let Err(why) = check_key(key) {
        sink.error(&at.span(), format!("`{key}` is not a taint's key")).help(format!("{why}; as in \"example.net/gpu=true:NoSchedule\""));
        return None;
    }
    if !value.is_empty() && !is_name_part(value) {
        sink.error(&at.span(), format!("`{value}` is not a taint's value")).help("at most 63 letters, digits, '-', '_' or '.'");
        return None;
    }
    let prefix = key.split('/').next().unwrap_or_default();
    if key.contains('/') && (prefix.ends_with("kubernetes.io") || prefix.ends_with("k8s.io")) {
        let help = if prefix == "node-role.kubernetes.io" { "set workloads = false instead" } else { "take a key of your own domain" };
        sink.error(&at.span(), format!("the taint `{key}` is set and removed by Kubernetes itself")).help(help);
        return None;
    }
    Some(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}
