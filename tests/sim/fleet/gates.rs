//! A real sshd before every simulated machine.

use super::machine::Machine;
use crate::ports;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Keys and a port; then the servers, which end with it.
pub(crate) struct Gates {
    dir: TempDir,
    pub(crate) port: u16,
    servers: Option<Child>,
}

impl Drop for Gates {
    fn drop(&mut self) {
        if let Some(mut servers) = self.servers.take() {
            let _ = servers.kill();
            let _ = servers.wait();
        }
    }
}

impl Gates {
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        for name in ["key", "host"] {
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-C", "", "-N", "", "-f"]).arg(dir.path().join(name)).status();
            assert!(made.expect("THIS TEST NEEDS ssh-keygen: install openssh-client").success());
        }
        let port = ports::port();
        Self { dir, port, servers: None }
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// As an inventory pins it.
    pub(crate) fn host_key(&self) -> String {
        let told = Command::new("ssh-keygen").arg("-lf").arg(self.dir.path().join("host.pub")).output().unwrap();
        String::from_utf8(told.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
    }

    /// A server at each of the addresses, whose sessions are in the machine beside it.
    pub(crate) fn open(&mut self, machines: &[(String, Machine)]) {
        let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd"].iter().find(|p| fs::exists(p).unwrap());
        let sshd = sshd.expect("THIS TEST NEEDS sshd: install openssh-server (its service need not run)");
        let at = self.dir.path().display();
        for (address, machine) in machines {
            let text = format!(
                "ListenAddress {address}:{}\nHostKey {at}/host\nAuthorizedKeysFile {at}/key.pub\nStrictModes no\nUsePAM no\nPidFile none\n\
                 PermitRootLogin prohibit-password\nPrintMotd no\nSetEnv HOME=/nonexistent\nForceCommand exec {} -c \"$SSH_ORIGINAL_COMMAND\"\n",
                self.port,
                machine.shell().display()
            );
            fs::write(self.dir.path().join(format!("{}.conf", machine.name)), text).unwrap();
        }
        let script = format!(
            "set -e; mount -t tmpfs -o size=4m tmpfs /run; mkdir -m 755 /run/sshd\n\
             for conf in {at}/*.conf; do {sshd} -D -e -f \"$conf\" & done; wait"
        );
        let log = fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", &script]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.servers = Some(command.spawn().expect("THIS TEST NEEDS unshare"));
        let until = Instant::now() + Duration::from_mins(1);
        for (address, _) in machines {
            while TcpStream::connect((address.as_str(), self.port)).is_err() {
                assert!(Instant::now() < until, "sshd does not start: {}", self.log());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }
}
