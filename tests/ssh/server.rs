//! A server for one test.

use homectl::cluster::SshTarget;
use homectl::ssh::{ConnectSpec, Connection, RemoteError, Reply, connect};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that ends with the test.
pub(crate) struct Sshd {
    pub(crate) home: TempDir,
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

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn host_key(&self, kind: &str) -> String {
        fingerprint(&self.path(&format!("host_{kind}.pub")))
    }

    /// A way in that pins the host key.
    pub(crate) fn spec(&self) -> ConnectSpec {
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

    pub(crate) async fn session(&self) -> Connection {
        connect(&self.spec()).await.unwrap()
    }
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
