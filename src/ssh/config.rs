//! Where a target really is: its own keys, and what OpenSSH's client configuration says when the inventory
//! asks for it. `ssh -G` evaluates that configuration; nobody else does it right.

use super::RemoteError;
use crate::cluster::SshTarget;
use std::path::{Path, PathBuf};

/// One host on the way, the last one being the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hop {
    /// What people call it, and what `known_hosts` does.
    pub(super) name: String,
    /// Where it is dialled.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) identities: Vec<PathBuf>,
    pub(super) pin: Option<String>,
}

impl Hop {
    /// `user@host:port`, for messages.
    pub(super) fn target(&self) -> String {
        let host = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        if self.port == 22 { host } else { format!("{host}:{}", self.port) }
    }
}

/// The hosts on the way to `target`, jump hosts first.
pub(super) async fn route(target: &SshTarget) -> Result<Vec<Hop>, RemoteError> {
    let mut node = Hop {
        name: target.address.clone(),
        host: target.address.clone(),
        port: target.port,
        user: target.user.clone(),
        identities: target.identities.clone(),
        pin: target.host_key.clone(),
    };
    let mut jumps = target.jump.clone().unwrap_or_default();
    if target.ssh_config {
        let said = ask_ssh(&target.address).await?;
        said.complete(&mut node);
        if target.jump.is_none() {
            jumps = said.jump;
        }
    }
    if node.user.is_empty() {
        node.user = local_user();
    }
    let mut hops = Vec::new();
    for jump in jumps.split(',').map(str::trim).filter(|j| !j.is_empty()) {
        let mut hop = parse_jump(jump, &node).ok_or_else(|| local(format!("the jump host `{jump}` is not [user@]host[:port]")))?;
        if target.ssh_config {
            let said = ask_ssh(&hop.name).await?;
            said.complete(&mut hop);
        }
        if hop.user.is_empty() {
            hop.user.clone_from(&node.user);
        }
        hops.push(hop);
    }
    hops.push(node);
    Ok(hops)
}

fn local(seen: String) -> RemoteError {
    RemoteError::Local { seen }
}

fn local_user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned())
}

/// `[user@]host[:port]`; an IPv6 address with a port stands in brackets. The keys are the node's.
fn parse_jump(jump: &str, node: &Hop) -> Option<Hop> {
    let jump = jump.strip_prefix("ssh://").unwrap_or(jump);
    let (user, place) = jump.rsplit_once('@').unwrap_or(("", jump));
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        (host, if port.is_empty() { "22" } else { port.strip_prefix(':')? })
    } else {
        match place.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, port),
            _ => (place, "22"),
        }
    };
    let port = port.parse().ok().filter(|&port| port > 0)?;
    (!host.is_empty() && !host.starts_with('-')).then(|| Hop {
        name: host.to_owned(),
        host: host.to_owned(),
        port,
        user: user.to_owned(),
        identities: node.identities.clone(),
        pin: None,
    })
}

/// The part of `ssh -G` that matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    host: String,
    port: u16,
    user: String,
    identities: Vec<PathBuf>,
    jump: String,
}

impl Said {
    /// What the inventory says stands; its defaults (port 22, no user, no keys) give way.
    fn complete(&self, hop: &mut Hop) {
        if !self.host.is_empty() {
            hop.host.clone_from(&self.host);
        }
        if hop.port == 22 && self.port != 0 {
            hop.port = self.port;
        }
        if hop.user.is_empty() {
            hop.user.clone_from(&self.user);
        }
        if hop.identities.is_empty() {
            hop.identities.clone_from(&self.identities);
        }
    }
}

async fn ask_ssh(host: &str) -> Result<Said, RemoteError> {
    let failed = |why: String| local(format!("ssh-config is set, but `ssh -G {host}` failed: {why}"));
    let mut command = tokio::process::Command::new("ssh");
    let output = command.args(["-G", "--", host]).output().await.map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout), std::env::home_dir().as_deref()))
}

fn parse(text: &str, home: Option<&Path>) -> Said {
    let mut said = Said::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match key {
            "hostname" => value.clone_into(&mut said.host),
            "port" => said.port = value.parse().unwrap_or_default(),
            "user" => value.clone_into(&mut said.user),
            "proxyjump" if value != "none" => value.clone_into(&mut said.jump),
            "identityfile" => {
                let expanded = value.strip_prefix("~/").and_then(|rest| Some(home?.join(rest)));
                // ssh lists its defaults too, whether they are there or not.
                said.identities.extend(Some(expanded.unwrap_or_else(|| PathBuf::from(value))).filter(|file| file.exists()));
            }
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(jump: Option<&str>) -> SshTarget {
        SshTarget {
            address: "192.0.2.7".to_owned(),
            port: 2222,
            user: "pi".to_owned(),
            identities: vec![PathBuf::from("/k")],
            host_key: Some("SHA256:x".to_owned()),
            jump: jump.map(str::to_owned),
            ssh_config: false,
        }
    }

    #[tokio::test]
    async fn the_way_through_jump_hosts() {
        let hops = route(&target(Some("ann@bastion:2022, [fd00::1]:22,fd00::2"))).await.unwrap();
        let seen: Vec<_> = hops.iter().map(|h| (h.user.as_str(), h.target(), h.pin.is_some())).collect();
        let expected = [
            ("ann", "bastion:2022".to_owned(), false),
            ("pi", "[fd00::1]".to_owned(), false),
            ("pi", "[fd00::2]".to_owned(), false),
            ("pi", "192.0.2.7:2222".to_owned(), true),
        ];
        assert_eq!(seen, expected);
        for bad in ["ann@", "host:x", "host:0", "[fd00::1", "-oProxyCommand=x"] {
            assert!(route(&target(Some(bad))).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn ssh_is_asked() {
        let said = ask_ssh("homectl-test.invalid").await.expect("this test needs ssh: install openssh-client");
        assert_eq!((said.host.as_str(), said.port), ("homectl-test.invalid", 22));
        assert!(ask_ssh("a b").await.is_err() || !said.user.is_empty());
    }

    #[test]
    fn what_ssh_says_fills_only_gaps() {
        let home = tempfile::TempDir::new().unwrap();
        std::fs::write(home.path().join("key"), "").unwrap();
        let text = "user ann\nhostname 10.0.0.7\nport 2200\nidentityfile ~/key\nidentityfile ~/absent\nproxyjump bastion\n";
        let said = parse(text, Some(home.path()));
        assert_eq!((said.jump.as_str(), said.identities.len()), ("bastion", 1));
        let mut hop = Hop { name: "nas".to_owned(), host: "nas".to_owned(), port: 22, user: String::new(), identities: vec![], pin: None };
        said.complete(&mut hop);
        assert_eq!((hop.name.as_str(), hop.host.as_str(), hop.port, hop.user.as_str()), ("nas", "10.0.0.7", 2200, "ann"));
        let mut hop = Hop { port: 22, user: "bob".to_owned(), identities: vec![PathBuf::from("/k")], ..hop };
        said.complete(&mut hop);
        assert_eq!((hop.user.as_str(), hop.identities), ("bob", vec![PathBuf::from("/k")]));
    }
}
