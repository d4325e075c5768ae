//! Ways to a machine: jump hosts, ssh's own configuration, other ports and addresses, crowds and slow lines.

use crate::server::{Sshd, agent, refused, run, strangers};
use homectl::ssh::{ConnectSpec, Doors, RemoteError, connect, lock_all};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// A way to `server` that ssh's configuration `text` describes, under the name `nas`; `AT` is the server's folder.
fn configured(server: &Sshd, text: &str) -> ConnectSpec {
    let at = server.home.path().display().to_string();
    let config = server.path("ssh_config");
    std::fs::write(&config, text.replace("AT", &at).replace("PORT", &server.port.to_string())).unwrap();
    let mut spec = server.spec();
    "nas".clone_into(&mut spec.target.address);
    spec.target.port = 22;
    spec.target.user = String::new();
    spec.target.identities = Vec::new();
    spec.target.host_key = None;
    spec.target.ssh_config = true;
    spec.ssh_config = Some(config);
    spec
}

/// Lets `key` of `from` into `server` as well.
fn befriend(server: &Sshd, from: &Sshd) {
    std::fs::copy(from.path("authorized_keys"), server.path("authorized_keys")).unwrap();
}

/// The line of a `known_hosts` file for `server`.
fn known(server: &Sshd, name: &str) -> String {
    format!("{name} {}", std::fs::read_to_string(server.path("host_ed25519.pub")).unwrap())
}

const NAS: &str = "Host nas\n HostName 127.0.0.1\n Port PORT\n User root\n IdentityFile AT/key\n UserKnownHostsFile AT/ssh_known\n";

#[tokio::test]
async fn what_ssh_config_says() {
    let server = Sshd::start("");
    let spec = configured(&server, NAS);
    let RemoteError::HostKeyUnknown { shown, .. } = refused(&spec).await else { panic!("trusted unseen") };
    assert_eq!(shown, server.host_key("ed25519"));
    // ssh knows the host by its address and port.
    std::fs::write(server.path("ssh_known"), known(&server, &format!("[127.0.0.1]:{}", server.port))).unwrap();
    let host = connect(&spec).await.unwrap();
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    assert!(!spec.known_hosts.exists(), "ssh's word is enough, and nothing is recorded twice");
    let other = Sshd::start("");
    std::fs::write(server.path("ssh_known"), known(&other, &format!("[127.0.0.1]:{}", server.port))).unwrap();
    let RemoteError::HostKeyChanged { expected, .. } = refused(&spec).await else { panic!("a changed key was taken") };
    assert!(expected.ends_with("ssh_known line 1)"), "{expected}");
    // By its alias.
    std::fs::write(server.path("ssh_known"), known(&server, "the-nas")).unwrap();
    connect(&configured(&server, &format!("{NAS} HostKeyAlias the-nas\n"))).await.unwrap();
}

#[tokio::test]
async fn identities_only_keeps_the_agents_other_keys_at_home() {
    let server = Sshd::start("MaxAuthTries 2\nLogLevel VERBOSE");
    let mut keys = strangers(&server, 8);
    keys.push(server.path("key"));
    let agent = agent(&server, &keys);
    std::fs::write(server.path("ssh_known"), known(&server, &format!("[127.0.0.1]:{}", server.port))).unwrap();
    let mine = NAS.replace("AT/key", "AT/extra0");
    let mut spec = configured(&server, &format!("{mine} IdentitiesOnly yes\n"));
    spec.agent = Some(agent.1.clone());
    let RemoteError::Auth { seen, .. } = refused(&spec).await else { panic!("a key that was not named was offered") };
    assert_eq!(seen.matches("SHA256:").count(), 1, "{seen}");
    // The named one is in the agent only, eight others before it.
    std::fs::rename(server.path("key"), server.path("gone")).unwrap();
    let mut spec = configured(&server, &format!("{} IdentitiesOnly yes\n", NAS.replace("AT/key", "AT/key.pub")));
    spec.agent = Some(agent.1.clone());
    connect(&spec).await.unwrap();
    // An agent of its own.
    let mut spec = configured(&server, &format!("{NAS} IdentityAgent AT/agent\n IdentitiesOnly yes\n").replace("AT/key", "AT/key.pub"));
    spec.agent = None;
    connect(&spec).await.unwrap();
    let mut spec = configured(&server, &format!("{NAS} IdentityAgent none\n").replace("AT/key", "AT/key.pub"));
    spec.agent = Some(agent.1.clone());
    assert!(matches!(refused(&spec).await, RemoteError::Auth { .. }), "there is an agent although there is none");
}

#[tokio::test]
async fn certificates_that_ssh_config_names() {
    let server = Sshd::start("");
    let keygen = |args: &[&str]| assert!(std::process::Command::new("ssh-keygen").args(args).status().unwrap().success());
    let path = |name: &str| server.path(name).display().to_string();
    keygen(&["-q", "-t", "ed25519", "-N", "", "-f", &path("authority")]);
    keygen(&["-q", "-I", "x", "-n", "root", "-s", &path("authority"), &path("key.pub")]);
    std::fs::rename(server.path("key-cert.pub"), server.path("elsewhere")).unwrap();
    let authority = std::fs::read_to_string(server.path("authority.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), format!("cert-authority {authority}")).unwrap();
    std::fs::write(server.path("ssh_known"), known(&server, &format!("[127.0.0.1]:{}", server.port))).unwrap();
    assert!(matches!(refused(&configured(&server, NAS)).await, RemoteError::Auth { .. }));
    connect(&configured(&server, &format!("{NAS} CertificateFile AT/elsewhere\n"))).await.unwrap();
}

/// Three hosts in a row, each with a key and an entry of its own, from ssh's configuration; and from the inventory.
#[tokio::test]
async fn jump_hosts_in_a_row() {
    let (node, inner, outer) = (Sshd::start(""), Sshd::start(""), Sshd::start(""));
    let text = format!(
        "{NAS} ProxyJump inner\nHost inner\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n UserKnownHostsFile AT/ssh_known\n \
         ProxyJump outer\nHost outer\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n UserKnownHostsFile AT/ssh_known\n",
        inner.port,
        inner.path("key").display(),
        outer.port,
        outer.path("key").display()
    );
    let mut spec = configured(&node, &text);
    let mut lines = String::new();
    for server in [&outer, &inner, &node] {
        let RemoteError::HostKeyUnknown { shown, .. } = refused(&spec).await else { panic!("trusted unseen") };
        assert_eq!(shown, server.host_key("ed25519"), "each host in its turn");
        write!(lines, "{}", known(server, &format!("[127.0.0.1]:{}", server.port))).unwrap();
        std::fs::write(node.path("ssh_known"), &lines).unwrap();
    }
    let host = connect(&spec).await.unwrap();
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    for server in [&outer, &inner] {
        assert!(server.log().contains("Accepted publickey"), "{}", server.log());
        befriend(server, &node);
    }
    // Only what somebody looked at is recorded: not what lies behind it.
    spec = node.spec();
    spec.target.host_key = None;
    spec.target.jump = Some(format!("root@127.0.0.1:{},127.0.0.1:{}", outer.port, inner.port));
    spec.accepted = vec![outer.host_key("ed25519")];
    let RemoteError::HostKeyUnknown { shown, .. } = refused(&spec).await else { panic!("trusted unseen") };
    assert_eq!(shown, inner.host_key("ed25519"));
    spec.accept_new = true;
    connect(&spec).await.unwrap();
    assert_eq!(std::fs::read_to_string(&spec.known_hosts).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn a_program_makes_the_connection() {
    let server = Sshd::start("");
    std::fs::write(server.path("ssh_known"), known(&server, "nas")).unwrap();
    let text = "Host nas\n User root\n Port PORT\n IdentityFile AT/key\n HostKeyAlias nas\n UserKnownHostsFile AT/ssh_known\n";
    let perl = "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => shift, PeerPort => shift) or die; \
                if (fork) { while (sysread STDIN, $_, 65536) { syswrite $s, $_ } shutdown $s, 1; wait } \
                else { while (sysread $s, $_, 65536) { syswrite STDOUT, $_ } }' 127.0.0.1";
    let host = connect(&configured(&server, &format!("{text} ProxyCommand {perl} %p\n"))).await.unwrap();
    host.lock("me").await.unwrap();
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    assert!(matches!(refused(&configured(&server, &format!("{text} ProxyCommand false %h\n"))).await, RemoteError::Unreachable { .. }));
}

#[tokio::test]
async fn ipv6_and_other_ports() {
    let server = Sshd::with("::1", "", ":");
    let mut spec = server.spec();
    spec.target.host_key = None;
    let RemoteError::HostKeyUnknown { target, .. } = refused(&spec).await else { panic!("trusted unseen") };
    assert_eq!(target, format!("[::1]:{}", server.port));
    spec.accept_new = true;
    let host = connect(&spec).await.unwrap();
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    assert!(host.tunnel("::1", server.port).await.is_ok());
    assert!(std::fs::read_to_string(&spec.known_hosts).unwrap().starts_with(&format!("[::1]:{} ", server.port)));
    spec.accept_new = false;
    connect(&spec).await.unwrap();
    // And as a jump host.
    let node = Sshd::start("");
    befriend(&node, &server);
    let mut through = node.spec();
    through.known_hosts.clone_from(&spec.known_hosts);
    through.target.identities = vec![server.path("key")];
    through.target.jump = Some(format!("root@[::1]:{}", server.port));
    connect(&through).await.unwrap();
}

/// Thirty sessions with one server, which has room for ten strangers at a time and turns others away at random.
#[tokio::test]
async fn thirty_at_once() {
    for shared in [true, false] {
        let server = Sshd::start("MaxStartups 10:30:100\nLogLevel VERBOSE");
        let doors = Doors::default();
        let begun = Instant::now();
        let mut sessions = JoinSet::new();
        for _ in 0..30 {
            let mut spec = server.spec();
            if shared {
                spec.doors = doors.clone();
            }
            sessions.spawn(async move { connect(&spec).await });
        }
        let mut open = Vec::new();
        while let Some(session) = sessions.join_next().await {
            open.push(session.unwrap().unwrap());
        }
        assert_eq!(open.len(), 30);
        let turned_away = server.log().matches("drop connection").count();
        assert!(!shared || turned_away == 0, "a run of ours crowds a server: {}", server.log());
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    }
}

/// Twelve machines behind one bastion, whose own limits are as they come.
#[tokio::test]
async fn a_house_behind_one_bastion() {
    let (node, bastion) = (Sshd::start("MaxStartups 100"), Sshd::start("MaxStartups 10:30:100\nMaxSessions 1"));
    befriend(&bastion, &node);
    let doors = Doors::default();
    let mut spec = node.spec();
    spec.target.jump = Some(format!("127.0.0.1:{}", bastion.port));
    spec.accept_new = true;
    let mut sessions = JoinSet::new();
    for _ in 0..12 {
        let mut spec = spec.clone();
        spec.doors = doors.clone();
        sessions.spawn(async move { connect(&spec).await });
    }
    let sessions = sessions.join_all().await;
    assert!(sessions.iter().all(Result::is_ok));

    // A bastion that is off is noticed once, not by everybody in turn.
    spec.target.jump = Some("192.0.2.1".to_owned());
    spec.timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let mut lost = JoinSet::new();
    for _ in 0..12 {
        let mut spec = spec.clone();
        spec.doors = doors.clone();
        lost.spawn(async move { connect(&spec).await.is_err() });
    }
    assert!(lost.join_all().await.into_iter().all(|lost| lost));
    assert!(begun.elapsed() < 6 * spec.timeout, "{:?}", begun.elapsed());
}

/// A line that takes `delay` for each piece of at most `piece` bytes, each way; after `limit` bytes from the server, silence.
async fn slow_line(to: u16, delay: Duration, piece: usize, limit: usize) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            tokio::spawn(trickle(near_read, far_write, delay, piece, usize::MAX));
            tokio::spawn(trickle(far_read, near_write, delay, piece, limit));
        }
    });
    port
}

async fn trickle(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, delay: Duration, piece: usize, limit: usize) {
    let mut buffer = vec![0; piece];
    let mut passed = 0;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(delay).await;
        passed += read;
        if passed > limit {
            std::future::pending::<()>().await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_slow_line_is_waited_for_and_a_silent_one_is_not() {
    let server = Sshd::start("");
    let mut spec = server.spec();
    spec.timeout = Duration::from_secs(5);
    // 250 bytes every 400 ms: the handshake alone takes longer than a silent host would be waited for.
    spec.target.port = slow_line(server.port, Duration::from_millis(400), 250, usize::MAX).await;
    let begun = Instant::now();
    let host = connect(&spec).await.unwrap();
    assert!(begun.elapsed() > spec.timeout, "{:?}", begun.elapsed());
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    // 150 ms each way, and more for every piece.
    spec.target.port = slow_line(server.port, Duration::from_millis(150), 1 << 16, usize::MAX).await;
    let far = connect(&spec).await.unwrap();
    far.lock("me").await.unwrap();
    far.upload(server.path("key.pub"), "/run/uploaded", &|_| ()).await.unwrap();
    // Silent from the middle of the handshake.
    spec.timeout = Duration::from_secs(1);
    for limit in [100, 1500] {
        spec.target.port = slow_line(server.port, Duration::ZERO, 1 << 16, limit).await;
        let begun = Instant::now();
        assert!(matches!(refused(&spec).await, RemoteError::Unreachable { .. }), "{limit}");
        assert!(begun.elapsed() < 15 * spec.timeout, "{limit}: {:?}", begun.elapsed());
    }
}

/// Two runs begin at once. Each is slow on its way to another machine, so that if all were asked at the same time, each would get what
/// the other needs, and both would go home.
#[tokio::test]
async fn of_two_runs_that_begin_together_one_works() {
    let servers: Vec<(&str, Sshd)> = ["attic", "cellar", "garage"].into_iter().map(|name| (name, Sshd::start(""))).collect();
    let mut ways = Vec::new();
    for slow in ["attic", "cellar"] {
        let mut hosts = BTreeMap::new();
        for (name, server) in &servers {
            let mut spec = server.spec();
            if *name == slow {
                spec.target.port = slow_line(server.port, Duration::from_millis(20), 1 << 16, usize::MAX).await;
            }
            hosts.insert((*name).to_owned(), connect(&spec).await.unwrap());
        }
        ways.push(hosts);
    }
    for round in 0..12 {
        let (one, other) = tokio::join!(lock_all(&ways[0], "one"), lock_all(&ways[1], "other"));
        match (one, other) {
            (Ok(locks), Err((node, e))) | (Err((node, e)), Ok(locks)) => {
                assert_eq!((locks.len(), node.as_str()), (3, "attic"), "round {round}: {e}");
            }
            (one, other) => panic!("round {round}: {} and {} locks", one.map_or(0, |l| l.len()), other.map_or(0, |l| l.len())),
        }
        // Free again, as soon as the machines have noticed.
        for host in ways[0].values() {
            let free = "until flock -n /run/homectl.lock flock -n /run/homectl.lock.busy true; do sleep 0.05; done";
            assert_eq!(run(host, free).await.unwrap().status, 0, "round {round}");
        }
    }
}
