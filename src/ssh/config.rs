//! Where a target really is: its own keys, and what OpenSSH's client configuration says when the inventory
//! asks for it. `ssh -G` evaluates that configuration; nobody else does it right.

use super::RemoteError;
use crate::cluster::SshTarget;
use std::path::{Path, PathBuf};

/// Jump hosts of jump hosts of jump hosts: deeper it goes round in a circle.
const DEPTH: usize = 8;

/// One host on the way, the last one being the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// What people call it, and what the `known_hosts` beside the inventory does.
    pub(super) name: String,
    /// Where it is dialled.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) identities: Vec<PathBuf>,
    pub(super) pin: Option<String>,
    /// Whether the agent may offer only keys that `identities` names.
    pub(super) identities_only: bool,
    /// Certificates besides those that lie beside their keys.
    pub(super) certificates: Vec<PathBuf>,
    pub(super) agent: Agent,
    /// `known_hosts` files of ssh's own, read but never written.
    pub(super) known: Vec<PathBuf>,
    /// The name of the host in those.
    pub(super) alias: Option<String>,
    /// A program that makes the connection in place of TCP (`ProxyCommand`).
    pub(super) command: Option<String>,
}

/// Whose keys are offered besides files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Agent {
    /// The environment's.
    #[default]
    Usual,
    Nobody,
    Socket(PathBuf),
}

impl Hop {
    /// `host:port` (the port where it is not 22), for messages.
    pub(super) fn target(&self) -> String {
        let host = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        if self.port == 22 { host } else { format!("{host}:{}", self.port) }
    }

    /// ssh's tokens in `text` filled in; `~/` at its beginning is our home.
    pub(super) fn expand(&self, text: &str) -> String {
        let home = std::env::home_dir().unwrap_or_default().display().to_string();
        let text = text.strip_prefix("~/").map_or_else(|| text.to_owned(), |rest| format!("{home}/{rest}"));
        let mut out = String::new();
        let mut rest = text.as_str();
        while let Some((before, token)) = rest.split_once('%') {
            out.push_str(before);
            match token.chars().next() {
                Some('h') => out.push_str(&self.host),
                Some('n') => out.push_str(&self.name),
                Some('p') => out.push_str(&self.port.to_string()),
                Some('r') => out.push_str(&self.user),
                Some('u') => out.push_str(&local_user()),
                Some('d') => out.push_str(&home),
                Some('k') => out.push_str(self.alias.as_ref().unwrap_or(&self.host)),
                Some('%') => out.push('%'),
                _ => {
                    out.push('%');
                    rest = token;
                    continue;
                }
            }
            rest = &token[1..];
        }
        out + rest
    }
}

/// The hosts on the way to `target`, jump hosts first. `config` is asked in place of the user's own configuration.
pub(super) async fn route(target: &SshTarget, config: Option<&Path>) -> Result<Vec<Hop>, RemoteError> {
    let mut node = Hop {
        name: target.address.clone(),
        host: target.address.clone(),
        port: target.port,
        user: target.user.clone(),
        identities: target.identities.clone(),
        pin: target.host_key.clone(),
        ..Hop::default()
    };
    let mut before = target.jump.clone().unwrap_or_default();
    if target.ssh_config {
        let said = ask_ssh(&target.address, config).await?;
        said.complete(&mut node);
        if target.jump.is_none() {
            before = said.jump;
            node.command = said.command;
        }
    }
    if node.user.is_empty() {
        node.user = local_user();
    }
    let mut hops = vec![node];
    for _ in 0..DEPTH {
        if before.is_empty() {
            return Ok(hops);
        }
        let (mut jumps, further) = jumps(&before, target, &hops[0].user, config).await?;
        jumps.append(&mut hops);
        hops = jumps;
        before = further;
    }
    Err(local(format!("the jump hosts of {} go round in a circle in ssh's configuration", target.address)))
}

/// The hosts of a `jump` list, and the jump hosts that ssh's configuration puts before the first of them.
async fn jumps(list: &str, target: &SshTarget, user: &str, config: Option<&Path>) -> Result<(Vec<Hop>, String), RemoteError> {
    let mut hops = Vec::new();
    let mut before = String::new();
    for jump in list.split(',').map(str::trim).filter(|j| !j.is_empty()) {
        let mut hop = parse_jump(jump).ok_or_else(|| local(format!("the jump host `{jump}` is not [user@]host[:port]")))?;
        if target.ssh_config {
            let said = ask_ssh(&hop.name, config).await?;
            said.complete(&mut hop);
            if hops.is_empty() {
                before = said.jump;
                hop.command = said.command;
            }
        }
        hop.identities.extend(target.identities.iter().cloned());
        if hop.user.is_empty() {
            user.clone_into(&mut hop.user);
        }
        hops.push(hop);
    }
    Ok((hops, before))
}

fn local(seen: String) -> RemoteError {
    RemoteError::Local { seen }
}

fn local_user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned())
}

/// `[user@]host[:port]`; an IPv6 address with a port stands in brackets.
fn parse_jump(jump: &str) -> Option<Hop> {
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
        ..Hop::default()
    })
}

/// The part of `ssh -G` that matters here, as it says it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    host: String,
    port: u16,
    user: String,
    identities: Vec<String>,
    identities_only: bool,
    certificates: Vec<String>,
    agent: Agent,
    known: Vec<PathBuf>,
    alias: Option<String>,
    jump: String,
    command: Option<String>,
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
        hop.alias.clone_from(&self.alias);
        let files = |said: &[String]| said.iter().map(|file| PathBuf::from(hop.expand(file))).filter(|f| f.exists()).collect();
        // ssh lists its defaults too, whether they are there or not.
        let (identities, certificates) = (files(&self.identities), files(&self.certificates));
        if hop.identities.is_empty() {
            hop.identities = identities;
        }
        hop.certificates = certificates;
        hop.identities_only = self.identities_only;
        hop.agent.clone_from(&self.agent);
        hop.known.clone_from(&self.known);
    }
}

async fn ask_ssh(host: &str, config: Option<&Path>) -> Result<Said, RemoteError> {
    let failed = |why: String| local(format!("ssh-config is set, but `ssh -G {host}` failed: {why}"));
    let mut command = tokio::process::Command::new("ssh");
    if let Some(config) = config {
        command.arg("-F").arg(config);
    }
    let output = command.args(["-G", "--", host]).output().await.map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Said {
    let mut said = Said::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        match key {
            "hostname" => value.clone_into(&mut said.host),
            "port" => said.port = value.parse().unwrap_or_default(),
            "user" => value.clone_into(&mut said.user),
            "proxyjump" if value != "none" => value.clone_into(&mut said.jump),
            "proxycommand" if value != "none" => said.command = Some(value.to_owned()),
            "identityfile" if value != "none" => said.identities.push(value.to_owned()),
            "identitiesonly" => said.identities_only = value == "yes",
            "certificatefile" if value != "none" => said.certificates.push(value.to_owned()),
            "identityagent" => said.agent = agent(value),
            "userknownhostsfile" | "globalknownhostsfile" => said.known.extend(value.split_whitespace().map(PathBuf::from)),
            "hostkeyalias" => said.alias = Some(value.to_owned()),
            _ => {}
        }
    }
    said
}

fn agent(value: &str) -> Agent {
    match value {
        "none" => Agent::Nobody,
        "SSH_AUTH_SOCK" => Agent::Usual,
        _ => match value.strip_prefix('$') {
            Some(variable) => std::env::var_os(variable).map_or(Agent::Nobody, |socket| Agent::Socket(socket.into())),
            None => Agent::Socket(value.into()),
        },
    }
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
        let hops = route(&target(Some("ann@bastion:2022, [fd00::1]:22,fd00::2")), None).await.unwrap();
        let seen: Vec<_> = hops.iter().map(|h| (h.user.as_str(), h.target(), h.pin.is_some())).collect();
        let expected = [
            ("ann", "bastion:2022".to_owned(), false),
            ("pi", "[fd00::1]".to_owned(), false),
            ("pi", "[fd00::2]".to_owned(), false),
            ("pi", "192.0.2.7:2222".to_owned(), true),
        ];
        assert_eq!(seen, expected);
        for bad in ["ann@", "host:x", "host:0", "[fd00::1", "-oProxyCommand=x"] {
            assert!(route(&target(Some(bad)), None).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn ssh_is_asked() {
        let said =
            ask_ssh("homectl-test.invalid", Some(Path::new("/dev/null"))).await.expect("this test needs ssh: install openssh-client");
        assert_eq!((said.host.as_str(), said.port), ("homectl-test.invalid", 22));
        assert!(ask_ssh("a b", None).await.is_err() || !said.user.is_empty());
    }

    #[tokio::test]
    async fn what_ssh_says_fills_only_gaps() {
        let home = tempfile::TempDir::new().unwrap();
        let at = home.path().display();
        for file in ["nas.lan_2200", "cert", "key"] {
            std::fs::write(home.path().join(file), "").unwrap();
        }
        let text = format!(
            "Host nas\n HostName nas.lan\n Port 2200\n User ann\n IdentityFile {at}/%h_%p\n IdentityFile {at}/absent\n \
             CertificateFile {at}/cert\n IdentitiesOnly yes\n IdentityAgent none\n HostKeyAlias the-nas\n UserKnownHostsFile {at}/known\n \
             GlobalKnownHostsFile /dev/null\n ProxyJump inner,last\nHost inner\n ProxyJump outer\n User ina\nHost outer\n \
             ProxyCommand nc %h %p\nHost last\n ProxyCommand never\n IdentityFile {at}/key\nHost one\n ProxyJump two\nHost two\n ProxyJump one\n"
        );
        let config = home.path().join("config");
        std::fs::write(&config, text).unwrap();
        let mut nas = target(None);
        nas = SshTarget { address: "nas".into(), port: 22, user: String::new(), identities: Vec::new(), ssh_config: true, ..nas };
        let hops = route(&nas, Some(&config)).await.unwrap();
        let names: Vec<_> = hops.iter().map(|h| (h.name.as_str(), h.user.as_str(), h.command.as_deref())).collect();
        let root = local_user();
        assert_eq!(names[0], ("outer", root.as_str(), Some("nc %h %p")));
        assert_eq!(names[1..], [("inner", "ina", None), ("last", root.as_str(), None), ("nas", "ann", None)]);
        assert_eq!(hops[0].expand("%n: nc %h %p 100%% %z"), "outer: nc outer 22 100% %z");
        assert_eq!(hops[2].identities, [home.path().join("key")]);
        let node = &hops[3];
        assert_eq!((node.host.as_str(), node.port, node.alias.as_deref()), ("nas.lan", 2200, Some("the-nas")));
        assert_eq!((&node.identities, &node.certificates), (&vec![home.path().join("nas.lan_2200")], &vec![home.path().join("cert")]));
        assert!(
            node.identities_only && node.agent == Agent::Nobody && node.known.len() == 2 && node.known.contains(&home.path().join("known"))
        );

        // What the inventory says stands.
        let mine = SshTarget { port: 2022, user: "bob".into(), identities: vec!["/k".into()], jump: Some("gate".into()), ..nas.clone() };
        let hops = route(&mine, Some(&config)).await.unwrap();
        assert_eq!((hops.len(), hops[0].name.as_str(), &hops[1].identities), (2, "gate", &vec![PathBuf::from("/k")]));
        assert_eq!((hops[1].port, hops[1].user.as_str(), hops[1].host.as_str()), (2022, "bob", "nas.lan"));
        let round = route(&SshTarget { address: "one".into(), ..nas }, Some(&config)).await.unwrap_err();
        assert!(round.to_string().contains("circle"), "{round}");
    }
}
