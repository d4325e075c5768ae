//! People with an account on a machine, and clocks that are wrong: what homectl stages and holds there is out of their reach.

use crate::no_api::NoApi;
use crate::server::{Sshd, run};
use futures::future::BoxFuture;
use homectl::cluster::{Arch, Artifact, Component};
use homectl::exec::{Run, Sink, Supplied, Supply};
use homectl::plan::{self, Observed};
use homectl::ssh::{Connection, RemoteError};
use homectl::steps::{Mode, Step, StepId};
use homectl::want::{Program, Seen, Want};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Somebody without rights who tries, as fast as the machine can, to put a file, a link or a pipe of theirs wherever homectl
/// works, and to replace what lies there. What they get done they write down.
const RACER: &str = r#"
cd /; : >"$1/begun"
put() { # FILE
    ( cp "$2/evil" "$1" || ln -sfn "$2/evil" "$1" || mv -f "$1" "$1.theirs" || mkfifo "$1" || : >"$1" ) 2>/dev/null && echo "$1" >>"$2/prey"
}
while :; do
    for d in /opt /opt/homectl /opt/homectl/incoming /opt/homectl/incoming/*.d /opt/homectl/store /opt/homectl/store/* /run; do
        [ -d "$d" ] || continue
        for f in "$d"/* "$d/homectl" "$d/incoming" "$d/runc" "$d/.sums" "$d/homectl.lock" "$d/homectl.lock.busy"; do
            [ -d "$f" ] || put "$f" "$1"
        done
    done
done
"#;

/// Programs of one file each.
struct Shelf(PathBuf);

impl Shelf {
    fn program(&self, number: u32) -> (Program, Vec<u8>) {
        let bytes: Vec<u8> = (0..400_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).wrapping_add(number).to_le_bytes()).collect();
        let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes));
        std::fs::write(self.0.join(&sha256), &bytes).unwrap();
        let artifact = Artifact { url: "https://example.net/runc".into(), sha256 };
        (Program { component: Component::Runc, version: "v1".into(), artifact, arch: Arch::Amd64, notify: Vec::new() }, bytes)
    }
}

impl Supply for Shelf {
    fn get<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, homectl::error::Result<Vec<Supplied>>> {
        Box::pin(async move {
            let (sha256, path) = (program.artifact.sha256.clone(), self.0.join(&program.artifact.sha256));
            let size = std::fs::metadata(&path).unwrap().len();
            Ok(vec![Supplied { name: "runc".into(), path, sha256, size }])
        })
    }
}

/// The engine's own way: staged, hashed, moved into the store.
async fn install(host: &Connection, shelf: &Shelf, program: &Program) {
    let step = Step {
        id: StepId::node("attic", "programs"),
        title: "programs".into(),
        after: Vec::new(),
        wants: vec![Want::Program(program.clone())],
        ready: None,
        rolling: None,
        aside: false,
    };
    let observed = Observed::from([(step.id.clone(), vec![Seen::Absent])]);
    let plan = plan::diff("test", Mode::Present, vec![step], &observed).unwrap();
    let hosts = BTreeMap::from([("attic".to_owned(), Arc::clone(host))]);
    let report =
        Run { plan: &plan, hosts: &hosts, supply: shelf, api: &NoApi, sink: Sink::none(), stop: CancellationToken::new() }.go().await;
    assert_eq!(report.failed, Vec::new());
}

#[tokio::test]
async fn whoever_has_an_account_gets_nothing_into_a_program() {
    let server = Sshd::with("127.0.0.1", "", "mount -t tmpfs -o mode=755 tmpfs /opt");
    let host = server.session().await;
    let _lock = host.lock("ann").await.unwrap();
    for (name, text) in [("racer", RACER), ("evil", "#!/bin/sh\nid >/theirs\n"), ("prey", ""), ("begun", "")] {
        std::fs::write(server.path(name), text).unwrap();
    }
    let at = server.home.path().display();
    let start = format!(
        "chown 65534 {at}/prey {at}/begun; rm {at}/begun; mkdir -m 777 {at}/open; mv {at}/prey {at}/evil {at}/open\n\
         setsid setpriv --reuid=65534 --regid=65534 --clear-groups sh {at}/racer {at}/open >/dev/null 2>&1 & echo $!"
    );
    let racer = run(&host, &start).await.unwrap().output.trim().to_owned();
    while !server.path("open/begun").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let shelf = Shelf(server.path("open/.."));
    for number in 0..12 {
        let (program, bytes) = shelf.program(number);
        install(&host, &shelf, &program).await;
        let sum = run(&host, &format!("sha256sum <{}/runc; stat -c '%F %a %U' {0}/runc", program.folder())).await.unwrap().output;
        let due = format!("{}  -\nregular file 755 root\n", data_encoding::HEXLOWER.encode(&Sha256::digest(&bytes)));
        assert_eq!(sum, due);
    }
    assert_eq!(run(&host, &format!("kill -0 {racer} && kill {racer}")).await.unwrap().status, 0, "the racer did not last");
    assert_eq!(std::fs::read_to_string(server.path("open/prey")).unwrap(), "", "somebody without rights put these");
    assert_eq!(run(&host, "stat -c '%a %U' /opt/homectl /opt/homectl/incoming").await.unwrap().output, "755 root\n700 root\n");
}

/// Kernel locks know no time: neither a machine's clock nor a file's age frees one.
#[tokio::test]
async fn a_lock_is_held_whatever_the_clock_says() {
    let clock = "cp /usr/bin/date $at/clock; echo 0 >$at/skew\n\
                 printf '#!/bin/sh\\nread -r skew <%s/skew\\nexec %s/clock -d \"$skew seconds\" \"$@\"\\n' $at $at >$at/date; chmod 755 $at/date\n\
                 mount --bind $at/date /usr/bin/date";
    let server = Sshd::with("127.0.0.1", "", clock);
    let (ann, bob) = (server.session().await, server.session().await);
    let skew = |seconds: i64| std::fs::write(server.path("skew"), format!("{seconds}\n")).unwrap();
    for (first, second) in [(600, -600), (-600, 600), (0, 86_400 * 400)] {
        skew(first);
        let held = ann.lock("ann").await.unwrap();
        skew(second);
        let aged = run(&ann, &format!("touch -d '{first} seconds' /run/homectl.lock; date +%s")).await.unwrap();
        let now = jiff::Timestamp::now().as_second();
        let told: i64 = aged.output.trim().parse().unwrap();
        assert!((told - now - second).abs() < 60, "the clock is not as it should be: {told} at {now}");
        let RemoteError::Locked { holder } = bob.lock("bob").await.err().expect("two hold it") else { panic!("not locked") };
        let since: jiff::Timestamp = holder.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(holder.starts_with("ann since") && (since.as_second() - now - first).abs() < 60, "{holder}");
        assert_eq!(run(&ann, "echo mine").await.unwrap().output, "mine\n");
        drop(held);
        let until = Instant::now() + Duration::from_secs(5);
        let theirs = loop {
            match bob.lock("bob").await {
                Ok(guard) => break guard,
                Err(error) => assert!(Instant::now() < until, "not free again: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        drop(theirs);
        while ann.lock("ann").await.is_err() {
            assert!(Instant::now() < until + Duration::from_secs(5), "not free again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
