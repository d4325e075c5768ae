//! Who is let in, and whom we trust.

use crate::ports;
use crate::server::{Sshd, agent, fingerprint, keygen, refused, run, strangers};
use homectl::secrets::SecretText;
use homectl::ssh::{Ask, KeyRing, RemoteError, connect};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[tokio::test]
async fn a_session_is_cheap() {
    let server = Sshd::start("");
    let host = server.session().await;
    let connected = host.counters();
    let script = format!("id -u; echo 'after {}'", "x".repeat(3000));
    let reply = run(&host, &script).await.unwrap();
    assert!(reply.output.starts_with("0\nafter xxx"), "{reply:?}");
    let first = host.counters();
    assert_eq!(first.turns, connected.turns + 1, "one script is one turn");
    assert!(first.turns <= 10, "{first:?}");
    assert!(first.up < 8_000 && first.down < 12_000, "{first:?}");
    for n in 0..5 {
        assert_eq!(run(&host, &format!("exit {n}")).await.unwrap().status, n);
    }
    assert!(host.counters().turns <= first.turns + 5, "{:?}", host.counters());
}

#[tokio::test]
async fn first_contact_is_recorded_only_when_allowed() {
    let server = Sshd::start("");
    let mut spec = server.spec();
    spec.target.host_key = None;
    let shown = server.host_key("ed25519");
    assert_eq!(refused(&spec).await, RemoteError::HostKeyUnknown { target: format!("127.0.0.1:{}", server.port), shown: shown.clone() });
    assert!(!spec.known_hosts.exists());

    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&told);
    spec.recorded = Arc::new(move |host, print| listener.lock().unwrap().push((host.to_owned(), print.to_owned())));
    spec.accept_new = true;
    connect(&spec).await.unwrap();
    connect(&spec).await.unwrap();
    assert_eq!(*told.lock().unwrap(), [(format!("127.0.0.1:{}", server.port), shown)]);
    spec.accept_new = false;
    connect(&spec).await.unwrap();

    // OpenSSH's client reads the same file and agrees.
    let find = Command::new("ssh-keygen").arg("-F").arg(format!("[127.0.0.1]:{}", server.port)).arg("-f").arg(&spec.known_hosts).output();
    assert!(find.unwrap().status.success());
}

#[tokio::test]
async fn a_changed_key_is_refused_before_any_login() {
    let server = Sshd::start("");
    let other = Sshd::start("");
    let mut spec = server.spec();
    let pinned = other.host_key("ed25519");
    spec.target.host_key = Some(pinned.clone());
    let expected = format!("{pinned} (host-key in the inventory)");
    let changed = RemoteError::HostKeyChanged { target: format!("127.0.0.1:{}", server.port), expected, shown: server.host_key("ed25519") };
    assert_eq!(refused(&spec).await, changed);

    // Recorded by another type only: a change as well, and accepting new keys does not accept it.
    let public = std::fs::read_to_string(other.path("host_rsa.pub")).unwrap();
    std::fs::write(&spec.known_hosts, format!("[127.0.0.1]:{} {public}", server.port)).unwrap();
    spec.target.host_key = None;
    spec.accept_new = true;
    let RemoteError::HostKeyChanged { expected, shown, .. } = refused(&spec).await else { panic!("not a changed key") };
    assert_eq!(expected, format!("{} (home.known_hosts line 1)", other.host_key("rsa")));
    assert_eq!(shown, server.host_key("rsa"), "the recorded type is asked for first");
    let log = std::fs::read_to_string(server.path("log")).unwrap();
    assert!(!log.contains("Accepted") && !log.contains("Failed publickey"), "{log}");
}

#[tokio::test]
async fn any_of_the_hosts_keys_may_be_pinned_or_recorded() {
    let server = Sshd::start("");
    for kind in ["ecdsa", "rsa"] {
        let mut spec = server.spec();
        spec.target.host_key = Some(server.host_key(kind));
        connect(&spec).await.unwrap();
        let public = std::fs::read_to_string(server.path(&format!("host_{kind}.pub"))).unwrap();
        std::fs::write(&spec.known_hosts, format!("[127.0.0.1]:{} {public}", server.port)).unwrap();
        spec.target.host_key = None;
        connect(&spec).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_key_is_named() {
    let server = Sshd::start("");
    let mut spec = server.spec();
    keygen(&server.path("wrong"), "ed25519", "");
    keygen(&server.path("locked"), "ed25519", "secret");
    spec.target.identities = vec![server.path("wrong"), server.path("absent"), server.path("locked")];
    let RemoteError::Auth { user, seen } = refused(&spec).await else { panic!("not refused for its key") };
    assert_eq!(user, format!("root at 127.0.0.1:{}", server.port));
    for part in [
        format!("offered {} {}", server.path("wrong").display(), fingerprint(&server.path("wrong.pub"))),
        "the server lets in by publickey".to_owned(),
        "absent: No such file".to_owned(),
        format!("{} {}", server.path("locked").display(), fingerprint(&server.path("locked.pub"))),
    ] {
        assert!(seen.contains(&part), "{seen}");
    }
}

#[tokio::test]
async fn keys_of_every_kind_log_in() {
    let server = Sshd::start("");
    for (kind, passphrase) in [("rsa", ""), ("ecdsa", ""), ("ed25519", "open sesame")] {
        let key = server.path(&format!("user_{kind}"));
        keygen(&key, kind, passphrase);
        std::fs::copy(server.path(&format!("user_{kind}.pub")), server.path("authorized_keys")).unwrap();
        let mut spec = server.spec();
        spec.target.identities = vec![key];
        let asked = Arc::new(AtomicUsize::new(0));
        let times = Arc::clone(&asked);
        spec.keyring = KeyRing::new(Ask::new(move |_| {
            times.fetch_add(1, Ordering::SeqCst);
            Some(SecretText::new("open sesame".to_owned()))
        }));
        connect(&spec).await.unwrap();
        connect(&spec).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), usize::from(!passphrase.is_empty()), "{kind}");
    }
}

/// OpenSSH writes one P-256 key in 256 a byte shorter than the others.
#[tokio::test]
async fn keys_with_a_short_number_log_in() {
    let server = Sshd::start("");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh/keys");
    std::fs::copy(kept.join("short.pub"), server.path("authorized_keys")).unwrap();
    for name in ["short", "short-locked"] {
        let key = server.path(name);
        std::fs::copy(kept.join(name), &key).unwrap();
        let mut spec = server.spec();
        spec.target.identities = vec![key];
        spec.keyring = KeyRing::new(Ask::new(|_| Some(SecretText::new("open sesame".to_owned()))));
        connect(&spec).await.unwrap();
    }
}

#[tokio::test]
async fn certificates_log_in() {
    let server = Sshd::start("");
    keygen(&server.path("authority"), "ed25519", "");
    let signed = Command::new("ssh-keygen")
        .args(["-q", "-I", "test", "-n", "root", "-s"])
        .arg(server.path("authority"))
        .arg(server.path("key.pub"))
        .status();
    assert!(signed.unwrap().success());
    let authority = std::fs::read_to_string(server.path("authority.pub")).unwrap();
    std::fs::write(server.path("authorized_keys"), format!("cert-authority {authority}")).unwrap();
    server.session().await;
}

#[tokio::test]
async fn the_agent_serves_and_the_named_key_comes_first() {
    let server = Sshd::start("MaxAuthTries 3");
    let mut keys = strangers(&server, 8);
    keys.push(server.path("key"));
    let agent = agent(&server, &keys);
    let mut spec = server.spec();
    spec.agent = Some(agent.1.clone());
    // Only the agent has the private half; eight other keys would use up the server's patience.
    spec.target.identities = vec![server.path("key.pub")];
    connect(&spec).await.unwrap();
    // Not named, its turn comes on the third connection; with a thousand keys it never does.
    spec.target.identities = Vec::new();
    connect(&spec).await.unwrap();
    let elsewhere = Sshd::start("");
    let many = self::agent(&elsewhere, &strangers(&elsewhere, 12));
    spec.agent = Some(many.1.clone());
    let RemoteError::Auth { seen, .. } = refused(&spec).await else { panic!("not refused") };
    assert!(seen.contains("of the agent SHA256:") && seen.contains("the server gave up before 3 more keys were tried"), "{seen}");
}

#[tokio::test]
async fn through_a_jump_host_both_keys_are_checked() {
    let (node, bastion) = (Sshd::start(""), Sshd::start(""));
    std::fs::copy(node.path("authorized_keys"), bastion.path("authorized_keys")).unwrap();
    let mut spec = node.spec();
    spec.target.jump = Some(format!("root@127.0.0.1:{}", bastion.port));
    let RemoteError::HostKeyUnknown { target, shown } = refused(&spec).await else { panic!("an unknown jump host was trusted") };
    assert_eq!((target, shown), (format!("127.0.0.1:{}", bastion.port), bastion.host_key("ed25519")));
    spec.accept_new = true;
    let host = connect(&spec).await.unwrap();
    assert_eq!(run(&host, "echo there").await.unwrap().output, "there\n");
    spec.target.host_key = Some(bastion.host_key("ed25519"));
    assert!(matches!(refused(&spec).await, RemoteError::HostKeyChanged { .. }));
}

#[tokio::test]
async fn who_is_not_there_is_unreachable() {
    let server = Sshd::start("");
    let mut spec = server.spec();
    spec.target.port = ports::port();
    let error = refused(&spec).await;
    assert!(matches!(&error, RemoteError::Unreachable { seen, .. } if seen == "connection refused"), "{error:?}");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    spec.target.port = silent.local_addr().unwrap().port();
    spec.timeout = Duration::from_millis(300);
    let error = refused(&spec).await;
    assert!(matches!(&error, RemoteError::Unreachable { seen, .. } if seen.contains("does not speak SSH")), "{error:?}");
    spec.target.address = "no-such-host.invalid".to_owned();
    assert!(matches!(refused(&spec).await, RemoteError::Unreachable { .. }));
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = Sshd::start("MaxStartups 2");
    let sessions: Vec<_> = (0..6).map(|_| server.spec()).map(|spec| tokio::spawn(async move { connect(&spec).await.map(drop) })).collect();
    for session in sessions {
        session.await.unwrap().unwrap();
    }
}
