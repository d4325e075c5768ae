//! The proof that a snapshot can be restored: by doing it, into an etcd that nobody can reach and that is gone afterwards.

use super::manifest::Snapshot;
use crate::error::{Failure, Result};
use crate::secrets::SecretText;
use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, Nonce, XSalsa20Poly1305};
use data_encoding::BASE64;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long an etcd of its own may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// What the API server writes before a Secret that it encrypted.
const SECRETBOX: &[u8] = b"k8s:enc:secretbox:v1:";
/// How long its nonce is.
const NONCE: usize = 24;

/// etcd's programs, of the version that the cluster runs.
#[derive(Debug, Clone)]
pub struct Programs {
    pub etcd: PathBuf,
    pub etcdctl: PathBuf,
    pub etcdutl: PathBuf,
}

/// What the restored snapshot turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    pub revision: u64,
    pub keys: u64,
    /// Whether etcd's own hash over all keys and values could be compared (and was equal).
    pub compared: bool,
    pub sealed: Sealed,
}

/// What became of a Secret that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sealed {
    /// The key that is given opens it.
    Opened,
    /// There is none.
    NoSecret,
    /// It is not encrypted at rest.
    Clear,
}

/// Restores the snapshot `file` in the folder `scratch`, which has room for three times its size, and compares what comes out with
/// what the living cluster `said`. `encryption` has the keys of encryption at rest.
///
/// # Errors
/// It cannot be restored, or something else comes out.
pub async fn prove(programs: &Programs, file: &Path, scratch: &Path, said: &Snapshot, encryption: &[&SecretText]) -> Result<Proof> {
    let status = json(&run(program(&programs.etcdutl, scratch).args(["snapshot", "status", "-w", "json"]).arg(file)).await?)?;
    equal("its hash", status["hash"].as_u64(), said.hash)?;
    equal("its revision", status["revision"].as_u64(), said.revision)?;
    let data = scratch.join("data");
    run(program(&programs.etcdutl, scratch)
        .args(["snapshot", "restore", "--name=proof", "--initial-cluster=proof=http://localhost:1"])
        .args(["--initial-advertise-peer-urls=http://localhost:1", "--initial-cluster-token=proof"])
        .arg("--data-dir")
        .arg(&data)
        .arg(file))
    .await?;
    let mut etcd = Etcd::start(programs, scratch, &data)?;
    etcd.answers().await?;
    let rev = format!("--rev={}", said.revision);
    let counted = run(etcd.ctl().args(["get", "", "--prefix", "--count-only", "-w", "fields", &rev])).await?;
    let keys = counted.lines().find_map(|l| l.strip_prefix("\"Count\" : ")?.trim().parse().ok());
    equal("the number of its keys", keys, said.keys)?;
    let hash = json(&run(etcd.ctl().args(["endpoint", "hashkv", "-w", "json", &rev])).await?)?;
    let hash = &hash[0]["HashKV"];
    // etcd leaves fields out that are 0.
    let compared = hash["compact_revision"].as_i64().unwrap_or_default() == said.compacted;
    if compared {
        equal("etcd's hash of its keys and values", Some(hash["hash"].as_u64().unwrap_or_default()), said.hash_kv)?;
    }
    let found = json(&run(etcd.ctl().args(["get", "/registry/secrets/", "--prefix", "--limit=1", "-w", "json"])).await?)?;
    let sealed = unseal(&found, encryption)?;
    Ok(Proof { revision: said.revision, keys: said.keys, compared, sealed })
}

/// An etcd that listens on sockets in a private folder only, and ends with this value.
struct Etcd<'a> {
    child: Child,
    programs: &'a Programs,
    scratch: &'a Path,
}

impl<'a> Etcd<'a> {
    fn start(programs: &'a Programs, scratch: &'a Path, data: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Failure::failed(format!("etcd could not be started: {e}"));
        let log = std::fs::File::create(scratch.join("log")).map_err(failed)?;
        let child = program(&programs.etcd, scratch)
            .args(["--name=proof", "--listen-client-urls=unix://client", "--advertise-client-urls=http://localhost:1"])
            .args(["--listen-peer-urls=unix://peer", "--initial-advertise-peer-urls=http://localhost:1"])
            .args(["--initial-cluster=proof=http://localhost:1", "--unsafe-no-fsync", "--log-level=warn"])
            .arg("--data-dir")
            .arg(data)
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok(Self { child, programs, scratch })
    }

    fn ctl(&self) -> Command {
        let mut ctl = program(&self.programs.etcdctl, self.scratch);
        ctl.args(["--endpoints=unix://client", "--command-timeout=30s"]);
        ctl
    }

    /// Waits until it answers.
    async fn answers(&mut self) -> Result<()> {
        let from = Instant::now();
        loop {
            let asked = run(self.ctl().args(["--command-timeout=2s", "endpoint", "health"])).await;
            let Err(seen) = asked else { return Ok(()) };
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || from.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(self.scratch.join("log")).unwrap_or_default();
                let last = log.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(Failure::failed("an etcd on the restored snapshot does not answer")
                    .seen(last)
                    .seen(seen.evidence().join("\n")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A program that sees nothing of the operator's surroundings, in the folder of its sockets.
fn program(path: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", scratch).current_dir(scratch).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Its stdout, if it ends well.
async fn run(command: &mut Command) -> Result<String> {
    let what = Path::new(command.as_std().get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ran = command.output().await.map_err(|e| {
        Failure::failed(format!("{what} could not be run: {e}"))
            .help("a backup is verified on Linux, by etcd's own programs from the cache")
    })?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    Err(Failure::failed(format!("{what} failed: {}", ran.status)).seen(String::from_utf8_lossy(&ran.stderr).trim()))
}

fn json(text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|e| Failure::failed(format!("etcd's answer cannot be read: {e}")).seen(text))
}

fn equal(what: &str, found: Option<u64>, said: u64) -> Result<()> {
    if found == Some(said) {
        return Ok(());
    }
    let found = found.map_or_else(|| "not told".to_owned(), |n| n.to_string());
    Err(Failure::failed(format!("the snapshot is not what the cluster had: {what} is {found}, was {said}")).help("take another backup"))
}

/// Whether one of `keys` opens the Secret in etcd's answer `found`.
fn unseal(found: &Value, keys: &[&SecretText]) -> Result<Sealed> {
    let Some(kv) = found["kvs"].get(0) else { return Ok(Sealed::NoSecret) };
    let decoded = |field: &str| BASE64.decode(kv[field].as_str().unwrap_or_default().as_bytes()).unwrap_or_default();
    let value = decoded("value");
    let Some(rest) = value.strip_prefix(SECRETBOX) else { return Ok(Sealed::Clear) };
    let opened = |key: &&SecretText| {
        let key = BASE64.decode(key.expose().as_bytes()).ok()?;
        let sealed = &rest[rest.iter().position(|b| *b == b':')? + 1..];
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        let cipher = XSalsa20Poly1305::new_from_slice(&key).ok()?;
        cipher.decrypt(Nonce::from_slice(nonce), sealed).ok()
    };
    match keys.iter().find_map(opened) {
        Some(_) => Ok(Sealed::Opened),
        None => Err(Failure::failed("the encryption key in the backup does not open its Secrets")
            .seen(String::from_utf8_lossy(&decoded("key")).into_owned())
            .help("restored, they would be unreadable: take another backup with the secrets file that the cluster runs by")),
    }
}
