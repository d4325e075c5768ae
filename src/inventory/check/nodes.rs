//! The machines, each for itself and all together.

use super::super::model::{Arch, HostnamePolicy, LISTEN_PORT, Machine, Role, SshTarget, home_path};
use super::super::names;
use super::super::problem::Sink;
use super::super::raw::{self, At, Node};
use super::cluster::not_a_label;
use super::extras::choice;
use super::labels;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// What `[ssh]` says for all nodes.
pub(super) struct Login {
    user: String,
    identity: Option<String>,
    port: u16,
    jump: Option<String>,
    ssh_config: bool,
}

pub(super) fn login(raw: &raw::Login, sink: &mut Sink) -> Login {
    if let Some(at) = raw.jump.as_ref().filter(|j| !names::is_jump(j.get_ref())) {
        sink.error(&at.span(), format!("`{}` is not a jump host", at.get_ref()))
            .help("[user@]host[:port], as in \"pi@bastion.example.net\"");
    }
    let ssh_config = raw.ssh_config.as_ref().is_some_and(|c| *c.get_ref());
    // Where ssh's configuration is asked, it knows the user as well.
    let usual = if ssh_config { "" } else { "root" };
    Login {
        user: user(raw.user.as_ref(), sink).unwrap_or_else(|| usual.to_owned()),
        identity: identity(raw.identity.as_ref(), sink),
        port: raw.port.as_ref().map_or(22, |p| *p.get_ref()),
        jump: raw.jump.as_ref().map(|j| j.get_ref().clone()),
        ssh_config,
    }
}

fn user(at: Option<&At<String>>, sink: &mut Sink) -> Option<String> {
    let at = at?;
    if !names::is_user(at.get_ref()) {
        sink.error(&at.span(), format!("`{}` is not a user's name", at.get_ref())).help("letters, digits, '_', '-' and '.'");
    }
    Some(at.get_ref().clone())
}

fn identity(at: Option<&At<String>>, sink: &mut Sink) -> Option<String> {
    let at = at?;
    let path = at.get_ref();
    if path.is_empty() {
        sink.error(&at.span(), "`identity` is empty").help("name a private key, or remove the key: the agent is asked then");
    } else if let Some(private) = path.strip_suffix(".pub") {
        sink.error(&at.span(), "this is the public half of a key").help(format!("name the private one: \"{private}\""));
    } else if path.starts_with('~') && !path.starts_with("~/") {
        sink.error(&at.span(), "only your own home folder has a short name").help("write ~/… or the whole path");
    }
    Some(path.clone())
}

/// One machine. What is wrong is told and replaced, so that the next rule can be asked.
pub(super) fn machine(node: &Node, login: &Login, home: &Path, sink: &mut Sink) -> Machine {
    let roles = [("control-plane", Role::ControlPlane), ("worker", Role::Worker)];
    let other_words = [
        ("master", "control-plane"),
        ("server", "control-plane"),
        ("controller", "control-plane"),
        ("agent", "worker"),
        ("node", "worker"),
    ];
    let role = node.role.as_ref().and_then(|r| choice("role", r, &roles, &other_words, sink)).unwrap_or(Role::Worker);
    let arches = [("amd64", Arch::Amd64), ("arm64", Arch::Arm64)];
    let arch_words = [("x86_64", "amd64"), ("x86-64", "amd64"), ("aarch64", "arm64"), ("armv8", "arm64")];
    let policies = [("set", HostnamePolicy::Set), ("keep", HostnamePolicy::Keep)];
    let behind_nat = node.behind_nat.as_ref().is_some_and(|b| *b.get_ref());
    let listen_port = node.listen_port.as_ref().map_or(LISTEN_PORT, |p| *p.get_ref());
    if let (Some(at), Role::Worker) = (&node.workloads, role)
        && !at.get_ref()
    {
        sink.error(&at.span(), "a worker without workloads has nothing to do").help("remove `workloads`, or make it a control plane");
    }
    let ssh = target(node, login, home, sink);
    let endpoint = match &node.endpoint {
        Some(at) => endpoint(at, listen_port, sink),
        None => (!behind_nat && node.address.is_some()).then(|| ssh.with_port(listen_port)),
    };
    if let Some(at) = node.site.as_ref().filter(|s| !names::is_label(s.get_ref())) {
        not_a_label("the site", at, sink);
    }
    Machine {
        name: name(node, sink),
        role,
        workloads: node.workloads.as_ref().is_none_or(|w| *w.get_ref()),
        ssh,
        endpoint,
        listen_port,
        site: node.site.as_ref().map(|s| s.get_ref().clone()),
        behind_nat,
        arch: node.arch.as_ref().and_then(|a| choice("arch", a, &arches, &arch_words, sink)),
        hostname: node.hostname.as_ref().and_then(|h| choice("hostname", h, &policies, &[], sink)).unwrap_or(HostnamePolicy::Set),
        labels: labels::labels(node, sink),
        taints: labels::taints(node, sink),
    }
}

fn name(node: &Node, sink: &mut Sink) -> String {
    let Some(at) = &node.name else { return String::new() };
    if !names::is_label(at.get_ref()) {
        not_a_label("the node's name", at, sink);
    } else if at.get_ref() == "localhost" {
        sink.error(&at.span(), "`localhost` cannot be a node's name: on every machine it means that machine");
    }
    at.get_ref().clone()
}

fn target(node: &Node, login: &Login, home: &Path, sink: &mut Sink) -> SshTarget {
    let address = node.address.as_ref().map(|a| address(a, sink)).unwrap_or_default();
    let own = identity(node.ssh.identity.as_ref(), sink);
    SshTarget {
        address,
        port: node.ssh.port.as_ref().map_or(login.port, |p| *p.get_ref()),
        user: user(node.ssh.user.as_ref(), sink).unwrap_or_else(|| login.user.clone()),
        identities: own.as_ref().or(login.identity.as_ref()).map(|i| home_path(i, home)).into_iter().collect(),
        host_key: node.host_key.as_ref().map(|k| host_key(k, sink)),
        jump: login.jump.clone(),
        ssh_config: login.ssh_config,
    }
}

fn address(at: &At<String>, sink: &mut Sink) -> String {
    let text = at.get_ref().as_str();
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if names::is_host(bare) {
        return bare.to_owned();
    }
    let problem = sink.error(&at.span(), format!("`{text}` is neither an address nor a host name"));
    if let Some((host, port)) = names::host_port(text) {
        problem.help(format!("the port has a key of its own: address = \"{host}\" and port = {port}"));
    } else if let Some((user, host)) = text.split_once('@').filter(|(u, h)| names::is_user(u) && names::is_host(h)) {
        problem.help(format!("the user has a key of its own: address = \"{host}\" and user = \"{user}\""));
    } else if let Some((host, _)) = text.split_once('/').filter(|(h, _)| names::is_host(h)) {
        problem.help(format!("without the length of the network: address = \"{host}\""));
    } else {
        problem.help("as in \"192.168.1.20\" or \"attic.lan\"");
    }
    bare.to_owned()
}

fn endpoint(at: &At<String>, listen_port: u16, sink: &mut Sink) -> Option<String> {
    let text = at.get_ref();
    if names::host_port(text).is_some() {
        return Some(text.clone());
    }
    let problem = sink.error(&at.span(), format!("`{text}` is not an endpoint"));
    let host = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        problem.help(format!("host and port: \"[{host}]:{listen_port}\""));
    } else if names::is_host(host) {
        problem.help(format!("host and port: \"{host}:{listen_port}\""));
    } else {
        problem.help("host and UDP port, as in \"cabin.example.net:51820\"");
    }
    None
}

/// `SHA256:` and 43 base64 characters: what `ssh-keygen -lf` prints.
fn host_key(at: &At<String>, sink: &mut Sink) -> String {
    let text = at.get_ref();
    let digest = text.strip_prefix("SHA256:").and_then(|b| data_encoding::BASE64_NOPAD.decode(b.trim_end_matches('=').as_bytes()).ok());
    if digest.is_some_and(|d| d.len() == 32) {
        return text.trim_end_matches('=').to_owned();
    }
    let problem = sink.error(&at.span(), "this is not the fingerprint of a host key");
    let blob = text.split_whitespace().find_map(|w| data_encoding::BASE64.decode(w.as_bytes()).ok()).filter(|b| b.starts_with(&[0, 0, 0]));
    if let Some(blob) = blob {
        let sum = data_encoding::BASE64_NOPAD.encode(&<sha2::Sha256 as sha2::Digest>::digest(&blob));
        problem.help(format!("this is the key itself; its fingerprint is \"SHA256:{sum}\""));
    } else if text.starts_with("MD5:") || text.split(':').count() == 16 {
        problem.help("MD5 is too weak to pin a key: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the node prints SHA256:…");
    } else {
        problem.help("`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the node prints it: SHA256: and 43 characters");
    }
    text.clone()
}

/// Rules about all nodes: names, addresses, and who runs what.
/// `attempted` says that nodes were written in a way that was told to be wrong.
pub(super) fn together(raw: &[Node], machines: &[Machine], attempted: bool, sink: &mut Sink) {
    if raw.is_empty() {
        if attempted {
            return;
        }
        sink.error_anywhere("the inventory has no [[node]]").help("add one, with name, address and role = \"control-plane\"");
        return;
    }
    unique(
        "nodes share the name",
        "give every node a name of its own",
        raw.iter().filter_map(|n| n.name.as_ref().map(|a| (a.get_ref().clone(), a.span()))),
        sink,
    );
    let addresses =
        raw.iter().zip(machines).filter_map(|(n, m)| Some((m.ssh.with_port(m.ssh.port).to_lowercase(), n.address.as_ref()?.span())));
    unique("nodes share the address", "give every node its own address, or its own `port`", addresses, sink);
    roles(raw, machines, sink);
}

/// Reports every value that occurs again, with the place of its first use.
pub(super) fn unique(what: &str, help: &str, values: impl Iterator<Item = (String, Range<usize>)>, sink: &mut Sink) {
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for (value, span) in values {
        match seen.get(&value) {
            Some(first) => {
                let shown = value.strip_suffix(":22").unwrap_or(&value);
                sink.error(&span, format!("{what} {shown}")).label("and again here").also(first, "first used here").help(help);
            }
            None => {
                seen.insert(value, span);
            }
        }
    }
}

fn roles(raw: &[Node], machines: &[Machine], sink: &mut Sink) {
    let planes: Vec<&Node> = raw.iter().zip(machines).filter(|(_, m)| m.role == Role::ControlPlane).map(|(n, _)| n).collect();
    let Some(last) = planes.last() else {
        // A wrong role was told already.
        if raw.iter().all(|n| n.role.as_ref().is_none_or(|r| r.get_ref() == "worker")) {
            sink.error(&raw[0].span, "no node is a control plane").help("add role = \"control-plane\" to one node, or to three");
        }
        return;
    };
    let at = last.role.as_ref().map_or_else(|| last.span.clone(), toml::Spanned::span);
    if planes.len().is_multiple_of(2) {
        let n = planes.len();
        let bear = |n: usize| if n < 3 { "none".to_owned() } else { ((n - 1) / 2).to_string() };
        sink.warn(&at, format!("{n} control planes bear the loss of {}, and so {} {}", bear(n), if n == 2 { "does" } else { "do" }, n - 1))
            .help("an odd number is better: etcd needs more than half of its members");
    }
    if machines.iter().all(|m| m.role == Role::ControlPlane && !m.workloads) {
        sink.warn(&at, "no node runs workloads: pods, cluster DNS among them, will stay pending")
            .help("add a worker, or remove `workloads = false` from one control plane");
    }
}
