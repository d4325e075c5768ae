//! A server for one test.

use crate::ports;
use homectl::cluster::SshTarget;
use homectl::ssh::{ConnectSpec, Connection, RemoteError, Reply, connect};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that ends with the test.
pub(crate) struct Sshd {
    pub(crate) home: TempDir,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) child: Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // The server's sessions hold its mount namespace: only the listener is ours to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn keygen(file: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    let status = command.args(["-q", "-t", kind, "-C", "", "-N", passphrase, "-f"]).arg(file).status();
    assert!(status.expect("ssh-keygen is needed: install openssh-client").success());
}

pub(crate) fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

impl Sshd {
    pub(crate) fn start(options: &str) -> Self {
        Self::with("127.0.0.1", options, ":")
    }

    /// A server on `address`. The shell script `setup` runs before it, in its own mount namespace, where `/etc` is a copy
    /// that may be changed at will and `$at` is a folder that everybody may enter.
    pub(crate) fn with(address: &str, options: &str, setup: &str) -> Self {
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
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let port = ports::port();
        let listen = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
        let at = home.path().display();
        let text = format!(
            "{options}\nListenAddress {listen}\nHostKey {at}/host_ed25519\nHostKey {at}/host_ecdsa\nHostKey {at}/host_rsa\n\
             AuthorizedKeysFile {at}/authorized_keys\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin prohibit-password\nPrintMotd no\nSetEnv HOME=/nonexistent\n"
        );
        std::fs::write(path("sshd_config"), text).unwrap();
        // A small /run of its own: locks do not meet, and it is soon full.
        let script = format!(
            "set -e; at={at}; mount -t tmpfs -o size=4m,mode=755 tmpfs /run; mkdir -m 755 /run/sshd $at/etc; mount -t tmpfs tmpfs $at/etc\n\
             cp -a /etc/. $at/etc; mount --bind $at/etc /etc; umount $at/etc\n{setup}\nrm -rf /run/mount\nexec {sshd} -D -e -f {at}/sshd_config"
        );
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().unwrap();
        let mut server = Self { home, address: address.to_owned(), port, child };
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect((address, port)).is_err() {
            let ended = server.child.try_wait().unwrap().is_some();
            assert!(Instant::now() < until && !ended, "sshd does not start: {}", std::fs::read_to_string(server.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// How many programs there are of it and its sessions: those of other tests' servers have another mount namespace.
    pub(crate) fn programs(&self) -> usize {
        let own = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let server = own(&self.child.id().to_string());
        let all = std::fs::read_dir("/proc").unwrap().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
        all.filter(|pid| pid.parse::<u32>().is_ok() && own(pid) == server).count()
    }

    /// Waits until nothing but the server itself is left of its sessions.
    pub(crate) async fn alone_within(&self, time: Duration) {
        let until = Instant::now() + time;
        while self.programs() > 1 {
            assert!(Instant::now() < until, "{} programs are still there", self.programs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn host_key(&self, kind: &str) -> String {
        fingerprint(&self.path(&format!("host_{kind}.pub")))
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// A way in that pins the host key.
    pub(crate) fn spec(&self) -> ConnectSpec {
        let target = SshTarget {
            address: self.address.clone(),
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

    pub(crate) async fn session(&self) -> Connection {
        connect(&self.spec()).await.unwrap()
    }
}

/// An ssh-agent that ends with the test.
pub(crate) struct Agent(Child, pub(crate) PathBuf);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn agent(server: &Sshd, keys: &[PathBuf]) -> Agent {
    let socket = server.path("agent");
    let child = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    let agent = Agent(child, socket.clone());
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for key in keys {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    agent
}

/// `count` keys that no server knows.
pub(crate) fn strangers(server: &Sshd, count: usize) -> Vec<PathBuf> {
    let keys: Vec<PathBuf> = (0..count).map(|n| server.path(&format!("extra{n}"))).collect();
    for key in &keys {
        keygen(key, "ed25519", "");
    }
    keys
}

pub(crate) async fn run(host: &Connection, script: &str) -> Result<Reply, RemoteError> {
    host.run(script, &mut |_| ()).await
}

pub(crate) async fn refused(spec: &ConnectSpec) -> RemoteError {
    match connect(spec).await {
        Ok(_) => panic!("the connection came about"),
        Err(error) => error,
    }
}
