//! Numbers against a real machine.
#![expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "printing numbers is all it does")]

use crate::server::run;
use homectl::cluster::SshTarget;
use homectl::ssh::{ConnectSpec, connect};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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
