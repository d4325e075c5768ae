//! Uploads side by side: homectl's own, and `ssh host 'cat > f'`, alternating, into memory (/run) and onto the disk.
//!
//! `cargo bench --bench upload -- INVENTORY NODE [MEGABYTES [ROUNDS]]`; lines of tab-separated numbers on stdout.

use homectl::cluster::Lock;
use homectl::inventory::{self, SshTarget};
use homectl::ssh::{self, ConnectSpec, Connection};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    // `cargo bench` without a name hands over `--bench` alone.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let [inventory, node, rest @ ..] = args.as_slice() else {
        writeln!(std::io::stderr(), "upload: nothing measured: which inventory, which node?")?;
        return Ok(());
    };
    let number = |at: usize, default: usize| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (megabytes, rounds) = (number(0, 256)?, number(1, 5)?);
    rustls::crypto::ring::default_provider().install_default().ok();
    let target = target(Path::new(inventory), node)?;
    let file = random(megabytes)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let spec = ConnectSpec::new(node, target.clone(), Path::new(inventory).with_extension("known_hosts"));
    let host = runtime.block_on(ssh::connect(&spec))?;
    let mut out = std::io::stdout();
    writeln!(out, "round\tto\thomectl MB/s\tssh cat MB/s")?;
    for round in 1..=rounds {
        for place in ["/run", "/opt"] {
            let to = format!("{place}/homectl-bench");
            let ours = runtime.block_on(own(&host, file.path(), &to))?;
            let theirs = plain(&target, file.path(), &to)?;
            #[expect(clippy::cast_precision_loss, reason = "megabytes are few")]
            let speed = |seconds: f64| megabytes as f64 * 1.048_576 / seconds;
            writeln!(out, "{round}\t{place}\t{:.1}\t{:.1}", speed(ours), speed(theirs))?;
        }
    }
    Ok(())
}

fn target(path: &Path, node: &str) -> Result<SshTarget, Error> {
    let inventory = inventory::read(path)?;
    let lock = Lock::load(&Lock::path(path))?.ok_or("no lock beside the inventory: `homectl lock` first")?;
    let cluster = inventory.resolve(&lock)?;
    Ok(cluster.node(node).ok_or("no such node")?.ssh.clone())
}

/// A file that does not compress.
fn random(megabytes: usize) -> Result<tempfile::NamedTempFile, Error> {
    let mut file = tempfile::NamedTempFile::new()?;
    let mut source = std::fs::File::open("/dev/urandom")?.take(megabytes as u64 * 1_048_576);
    std::io::copy(&mut source, &mut file)?;
    Ok(file)
}

/// Seconds of homectl's upload.
async fn own(host: &Connection, from: &Path, to: &str) -> Result<f64, Error> {
    host.run(&format!("rm -f {to}"), &mut |_| ()).await?;
    let start = Instant::now();
    host.upload(PathBuf::from(from), to, &|_| ()).await?;
    Ok(start.elapsed().as_secs_f64())
}

/// Seconds of OpenSSH's, as root, over a connection that is open already: as homectl's is after the first file.
fn plain(target: &SshTarget, from: &Path, to: &str) -> Result<f64, Error> {
    let socket = std::env::temp_dir().join(format!("homectl-bench-{}", std::process::id()));
    let ssh = |more: &[&str], stdin: Stdio| -> Result<std::process::ExitStatus, Error> {
        let mut command = Command::new("ssh");
        command.args([
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=30", "-o", &format!("ControlPath={}", socket.display())]);
        for identity in &target.identities {
            command.arg("-i").arg(identity);
        }
        command.args(["-p", &target.port.to_string(), &format!("{}@{}", target.user, target.address)]);
        Ok(command.args(more).stdin(stdin).stdout(Stdio::null()).status()?)
    };
    ssh(&[&format!("sudo rm -f {to}")], Stdio::null())?;
    let start = Instant::now();
    let status = ssh(&[&format!("sudo sh -c 'cat > {to}'")], Stdio::from(std::fs::File::open(from)?))?;
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("ssh cat ended with {status}").into());
    }
    ssh(&[&format!("sudo rm -f {to}")], Stdio::null())?;
    Ok(seconds)
}
