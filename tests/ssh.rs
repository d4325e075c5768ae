//! The SSH transport against OpenSSH's own server on the loopback interface, each test with a server, keys and
//! a `/run` of its own. It needs `sshd` and root; without them it fails and says so.

use homectl::cluster::SshTarget;
use homectl::secrets::SecretText;
use homectl::ssh::{Ask, ConnectSpec, Connection, RemoteError, Reply, connect};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};

/// A server that ends with the test.
struct Sshd {
    home: TempDir,
    port: u16,
    child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The server's sessions hold its mount namespace: only the listener is ours to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn keygen(file: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    let status = command.args(["-q", "-t", kind, "-C", "", "-N", passphrase, "-f"]).arg(file).status();
    assert!(status.expect("ssh-keygen is needed: install openssh-client").success());
}

fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

impl Sshd {
    fn start(options: &str) -> Self {
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].iter().find(|p| Path::new(p).exists());
        let sshd = sshd.expect("THIS TEST LACKS sshd: install openssh-server (its service need not run)");
        let home = TempDir::new().unwrap();
        assert_eq!(
            std::fs::metadata(home.path()).unwrap().uid(),
            0,
            "THIS TEST LACKS root: sshd must open sessions of root, and locks lie under /run"
        );
        let path = |name: &str| home.path().join(name);
        for kind in ["ed25519", "ecdsa", "rsa"] {
            keygen(&path(&format!("host_{kind}")), kind, "");
        }
        keygen(&path("key"), "ed25519", "");
        std::fs::copy(path("key.pub"), path("authorized_keys")).unwrap();
        let port = free_port();
        let at = home.path().display();
        let text = format!(
            "{options}\nListenAddress 127.0.0.1:{port}\nHostKey {at}/host_ed25519\nHostKey {at}/host_ecdsa\nHostKey {at}/host_rsa\n\
             AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nPrintMotd no\n"
        );
        std::fs::write(path("sshd_config"), text).unwrap();
        // A small /run of its own: locks do not meet, and it is soon full.
        let script = format!("mount -t tmpfs -o size=4m tmpfs /run && mkdir -m 755 /run/sshd && exec {sshd} -D -e -f {at}/sshd_config");
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let server = Self { home, port, child };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "sshd does not start: {}", std::fs::read_to_string(server.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn host_key(&self, kind: &str) -> String {
        fingerprint(&self.path(&format!("host_{kind}.pub")))
    }

    /// A way in that pins the host key.
    fn spec(&self) -> ConnectSpec {
        let target = SshTarget {
            address: "127.0.0.1".to_owned(),
            port: self.port,
            user: "root".to_owned(),
            identities: vec![self.path("key")],
            host_key: Some(self.host_key("ed25519")),
            jump: None,
            ssh_config: false,
        };
        let mut spec = ConnectSpec::new("attic", target, self.path("home.known_hosts"));
        spec.agent = None;
        spec
    }

    async fn session(&self) -> Connection {
        connect(&self.spec()).await.unwrap()
    }
}

async fn run(host: &Connection, script: &str) -> Result<Reply, RemoteError> {
    host.run(script, &mut |_| ()).await
}

async fn refused(spec: &ConnectSpec) -> RemoteError {
    match connect(spec).await {
        Ok(_) => panic!("the connection came about"),
        Err(error) => error,
    }
}

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
        "locked: encrypted, and there is no passphrase".to_owned(),
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
        spec.passphrase = Ask::new(move |_| {
            times.fetch_add(1, Ordering::SeqCst);
            Some(SecretText::new("open sesame".to_owned()))
        });
        connect(&spec).await.unwrap();
        connect(&spec).await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), usize::from(!passphrase.is_empty()), "{kind}");
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

/// An ssh-agent that ends with the test.
struct Agent(Child, PathBuf);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent(server: &Sshd, keys: &[PathBuf]) -> Agent {
    let socket = server.path("agent");
    let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in keys {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    Agent(child, socket)
}

#[tokio::test]
async fn the_agent_serves_and_the_named_key_comes_first() {
    let server = Sshd::start("MaxAuthTries 3");
    let mut keys = Vec::new();
    for n in 0..8 {
        keys.push(server.path(&format!("extra{n}")));
        keygen(&keys[n], "ed25519", "");
    }
    keys.push(server.path("key"));
    let agent = agent(&server, &keys);
    let mut spec = server.spec();
    spec.agent = Some(agent.1.clone());
    // Only the agent has the private half; eight other keys would use up the server's patience.
    spec.target.identities = vec![server.path("key.pub")];
    connect(&spec).await.unwrap();
    spec.target.identities = Vec::new();
    let RemoteError::Auth { seen, .. } = refused(&spec).await else { panic!("not refused") };
    assert!(seen.contains("of the agent SHA256:"), "{seen}");
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
    spec.target.port = free_port();
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
async fn uploads_are_whole_private_and_new() {
    let server = Sshd::start("MaxSessions 1");
    let host = server.session().await;
    let from = server.path("program");
    let bytes: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(&from, &bytes).unwrap();
    let to = server.path("it's a file");
    let seen = Mutex::new(Vec::new());
    host.upload(from.clone(), to.to_str().unwrap(), &|n| seen.lock().unwrap().push(n)).await.unwrap();
    assert!(std::fs::read(&to).unwrap() == bytes);
    assert_eq!(std::fs::metadata(&to).unwrap().mode() & 0o777, 0o600);
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&(bytes.len() as u64)), "{seen:?}");

    let error = host.upload(from.clone(), to.to_str().unwrap(), &|_| ()).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Upload { seen, .. } if seen.contains("exists")), "{error:?}");
    assert!(std::fs::read(&to).unwrap() == bytes, "what was there stays");

    // An empty file, over the same connection; the main one goes on meanwhile.
    std::fs::write(&from, "").unwrap();
    let empty = server.path("empty");
    let (uploaded, reply) = tokio::join!(host.upload(from, empty.to_str().unwrap(), &|_| ()), run(&host, "echo on"));
    uploaded.unwrap();
    assert_eq!(reply.unwrap().output, "on\n");
    assert_eq!(std::fs::metadata(&empty).unwrap().len(), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_stays() {
    let server = Sshd::start("");
    let host = server.session().await;
    let from = server.path("program");
    std::fs::write(&from, vec![7; 12 << 20]).unwrap();
    // /run has 4 MB in this test.
    let error = host.upload(from.clone(), "/run/program.tmp", &|_| ()).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Upload { seen, .. } if seen.contains("No space left on device")), "{error:?}");
    assert_eq!(run(&host, "ls /run; df --output=used /run | tail -1").await.unwrap().output.lines().next(), Some("sshd"));
    assert!(error.into_failure("attic").remedy().unwrap().contains("make room"));
    let missing = host.upload(from, "/nowhere/program.tmp", &|_| ()).await.unwrap_err();
    assert!(matches!(&missing, RemoteError::Upload { seen, .. } if seen.contains("nowhere")), "{missing:?}");
}

#[tokio::test]
async fn an_upload_given_up_leaves_nothing() {
    let server = Sshd::start("");
    let host = server.session().await;
    let from = server.path("program");
    std::fs::File::create(&from).unwrap().set_len(8 << 30).unwrap();
    let to = server.path("half");
    let begun = AtomicBool::new(false);
    {
        let watch = |_| begun.store(true, Ordering::SeqCst);
        let upload = host.upload(from, to.to_str().unwrap(), &watch);
        let given_up = tokio::time::timeout(Duration::from_millis(700), upload).await;
        assert!(given_up.is_err(), "8 GB in no time: {given_up:?}");
    }
    assert!(begun.load(Ordering::SeqCst));
    let until = Instant::now() + Duration::from_secs(10);
    while to.exists() {
        assert!(Instant::now() < until, "half a file stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn tunnels_reach_what_the_host_reaches() {
    let server = Sshd::start("");
    let host = server.session().await;
    let echo = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = echo.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let mut tunnel = host.tunnel("127.0.0.1", port).await.unwrap();
    tunnel.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    tunnel.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
    let closed = host.tunnel("127.0.0.1", free_port()).await.err().unwrap();
    assert!(matches!(&closed, RemoteError::Tunnel { seen, .. } if seen == "nothing answers there"), "{closed:?}");

    let strict = Sshd::start("AllowTcpForwarding no");
    let host = strict.session().await;
    let forbidden = host.tunnel("127.0.0.1", port).await.err().unwrap();
    assert!(forbidden.into_failure("attic").remedy().unwrap().contains("AllowTcpForwarding"));
}

#[tokio::test]
async fn one_run_holds_the_lock() {
    let server = Sshd::start("MaxSessions 1");
    let (ann, bob) = (server.session().await, server.session().await);
    let held = ann.lock("ann@laptop (pid 7)").await.unwrap();
    assert_eq!(run(&ann, "echo mine").await.unwrap().output, "mine\n");
    assert_eq!(run(&ann, "stat -c '%a %U' /run/homectl.lock").await.unwrap().output, "600 root\n");
    let begun = Instant::now();
    let RemoteError::Locked { holder } = bob.lock("bob").await.err().unwrap() else { panic!("not locked") };
    assert!(holder.starts_with("ann@laptop (pid 7) since 20"), "{holder}");
    assert!(begun.elapsed() < Duration::from_secs(5), "contention is told at once");
    drop(held);
    let until = Instant::now() + Duration::from_secs(5);
    let held = loop {
        match bob.lock("bob").await {
            Ok(guard) => break guard,
            Err(error) => assert!(Instant::now() < until && matches!(error, RemoteError::Locked { .. }), "{error:?}"),
        }
    };
    assert_eq!(run(&ann, "echo reading needs no lock").await.unwrap().status, 0);
    drop(held);
}

#[tokio::test]
async fn a_lost_lock_stops_the_next_script_on_the_node() {
    let server = Sshd::start("");
    let (ann, root) = (server.session().await, server.session().await);
    let _held = ann.lock("ann").await.unwrap();
    // Another run has taken the machine, and ann has not noticed yet.
    run(&root, "echo other since now >/run/homectl.lock").await.unwrap();
    let error = run(&ann, "touch /run/written").await.unwrap_err();
    assert!(matches!(&error, RemoteError::Lost { seen } if seen.contains("no longer ours")), "{error:?}");
    assert_eq!(run(&root, "test -e /run/written").await.unwrap().status, 1);
    // The holder dies: told before anything is sent.
    run(&root, "pkill -f 'timeout 20 head' || kill $(pidof timeout)").await.unwrap();
    let until = Instant::now() + Duration::from_secs(8);
    while !matches!(run(&ann, "true").await, Err(RemoteError::Lost { seen }) if seen.contains("was lost")) {
        assert!(Instant::now() < until, "the end of the holder is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let server = Sshd::start("MaxStartups 2");
    let sessions: Vec<_> = (0..6).map(|_| server.spec()).map(|spec| tokio::spawn(async move { connect(&spec).await.map(drop) })).collect();
    for session in sessions {
        session.await.unwrap().unwrap();
    }
}

/// A relay that can be told to swallow everything, as a cut cable does.
async fn relay(to: u16, cut: Arc<AtomicBool>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let cut = Arc::clone(&cut);
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    () = async { while !cut.load(Ordering::SeqCst) { tokio::time::sleep(Duration::from_millis(20)).await } } => {
                        // Both ends stay open, and hear nothing.
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn a_cut_cable_is_noticed_on_both_ends() {
    let server = Sshd::start("");
    let cut = Arc::new(AtomicBool::new(false));
    let mut spec = server.spec();
    spec.target.port = relay(server.port, Arc::clone(&cut)).await;
    let (far, near) = (connect(&spec).await.unwrap(), server.session().await);
    let _held = far.lock("far").await.unwrap();
    let begun = Instant::now();
    cut.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let lost = run(&far, "echo unheard").await.unwrap_err();
    assert!(matches!(&lost, RemoteError::Lost { seen } if seen.contains("no sign of life for 15 s")), "{lost:?}");
    assert!(begun.elapsed() < Duration::from_secs(22), "{:?}", begun.elapsed());
    while let Err(RemoteError::Locked { holder }) = near.lock("near").await {
        assert!(holder.starts_with("far since"), "{holder}");
        assert!(begun.elapsed() < Duration::from_secs(30), "a dead operator still holds the machine");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Numbers for `docs/measurements.md`, against any machine:
/// `HOMECTL_SSH=admin@192.0.2.7 HOMECTL_SSH_KEY=… HOMECTL_SSH_PIN=SHA256:… cargo test --test ssh measure -- --ignored --nocapture`
#[tokio::test]
#[ignore = "needs a machine, named by HOMECTL_SSH"]
async fn measure() {
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let place = var("HOMECTL_SSH");
    let (user, address) = place.split_once('@').expect("HOMECTL_SSH is not user@address");
    let key = PathBuf::from(var("HOMECTL_SSH_KEY"));
    let home = TempDir::new().unwrap();
    let target = SshTarget {
        address: address.to_owned(),
        port: 22,
        user: user.to_owned(),
        identities: vec![key.clone()],
        host_key: Some(var("HOMECTL_SSH_PIN")),
        jump: None,
        ssh_config: false,
    };
    let spec = ConnectSpec::new("measured", target, home.path().join("known_hosts"));
    let begun = Instant::now();
    let host = connect(&spec).await.unwrap();
    let connected = begun.elapsed();
    println!("connect and become root: {connected:?} {:?}", host.counters());
    run(&host, "true").await.unwrap();
    println!("and one script: {:?} {:?}", begun.elapsed(), host.counters());
    let scripts = Instant::now();
    for _ in 0..20 {
        run(&host, "true").await.unwrap();
    }
    println!("a script that does nothing: {:?}", scripts.elapsed() / 20);

    let file = home.path().join("file");
    let bytes: Vec<u8> = (0..(200u32 << 20) / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    std::fs::write(&file, &bytes).unwrap();
    let rate = |took: Duration| bytes.len() as f64 / 1e6 / took.as_secs_f64();
    let known = home.path().join("ssh_known_hosts");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..6 {
        let begun = Instant::now();
        host.upload(file.clone(), "/run/homectl-measure", &|_| ()).await.unwrap();
        ours.push(rate(begun.elapsed()));
        run(&host, "rm /run/homectl-measure").await.unwrap();
        let begun = Instant::now();
        let mut ssh = Command::new("ssh");
        ssh.arg("-i").arg(&key).args(["-o", "StrictHostKeyChecking=accept-new", "-o", "LogLevel=ERROR", "-o"]);
        ssh.arg(format!("UserKnownHostsFile={}", known.display())).arg(&place).arg("sudo sh -c 'cat >/run/homectl-measure'");
        assert!(ssh.stdin(std::fs::File::open(&file).unwrap()).status().unwrap().success());
        theirs.push(rate(begun.elapsed()));
        run(&host, "rm /run/homectl-measure").await.unwrap();
        println!("round {round}: upload of 200 MB {:.0} MB/s, ssh 'cat > f' {:.0} MB/s", ours[round], theirs[round]);
    }
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    println!("median of 6: {:.0} MB/s against {:.0} MB/s", ours[3], theirs[3]);
}
