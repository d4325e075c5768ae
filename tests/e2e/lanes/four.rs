//! Any one of three control planes may die.

use crate::Result;
use crate::checks::{Cluster, machines, network, security, state, upkeep};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, write};
use crate::scene::{Scene, ensure, eventually};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONTROL_PLANES: [&str; 3] = ["attic", "cellar", "garage"];
const WORKER: &str = "shed";
/// What the issue allows.
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &super::FOUR, "trixie", |homectl, cluster| tell(scene, homectl, cluster))
}

fn tell(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    scene.step("fresh: apply", || {
        homectl.write_inventory(&cluster.lab.inventory()?)?;
        let ran = homectl.run("apply", &["--yes"])?.with(0)?;
        scene.figure("fresh apply of four machines, seconds", ran.took);
        write(&homectl.dir.join("kubeconfig"), &homectl.run("kubeconfig", &[])?.ok()?)
    })?;
    scene.step("fresh: all is well as soon as apply has ended", || {
        machines::ready(cluster)?;
        machines::system_pods(cluster)?;
        members(cluster, "attic")
    })?;
    scene.check("status: says what is", || state::told(cluster, homectl.run("status", &["--json"])?));
    scene.step("again: No changes", || {
        let ran = homectl.run("apply", &["--yes"])?.with(0)?;
        ensure(ran.out.contains("No changes."), || ran.seen())
    })?;
    scene.check("upkeep: one of three control planes renews its certificates", || upkeep::renewal(cluster, "cellar"));
    scene.check("upkeep: etcd has three healthy members after that", || {
        eventually(60, "three healthy members", || members(cluster, "attic")).map(drop)
    });
    scene.check("rolling: a new name goes into every API server's certificate, one at a time", || roll(scene, homectl, cluster));
    scene.step("loss: a kubectl for the worker's kubelet's identity", || {
        let program = std::fs::read(lab::kubectl()?).map_err(|error| error.to_string())?;
        cluster.lab.put(WORKER, "/var/lib/e2e-kubectl", &program, "700")
    })?;
    for victim in CONTROL_PLANES {
        scene.step(&format!("loss: {victim} dies, the API answers within {} s", LIMIT.as_secs()), || lose(scene, cluster, victim))?;
        scene.check(&format!("loss: status tells that {victim} is off"), || {
            let ran = homectl.run("status", &["--json"])?.with(3)?;
            ensure(ran.out.contains("\"reachable\": false") && ran.out.contains("could not be") | ran.out.contains("cannot reach"), || {
                ran.seen()
            })
        });
        scene.step(&format!("loss: {victim} comes back, etcd has three healthy members"), || {
            cluster.lab.each("start", &[victim])?;
            let ((), took) = eventually(180, "three healthy members", || members(cluster, victim))?;
            scene.figure(&format!("etcd whole after {victim} was switched on, seconds"), took);
            eventually(120, "all nodes Ready", || machines::ready(cluster))?;
            eventually(120, "its API server answers", || answers(&context_of(cluster, victim)?)).map(drop)
        })?;
    }
    scene.check("loss: after all that, pods on every node reach each other", || {
        cluster.kubectl.apply(network::WEB)?;
        let pods = network::web(cluster, 120)?;
        network::service(cluster, &pods)
    });
    scene.check("loss: after all that, nothing is to be changed", || {
        // Some machines only, and none of them a control plane: nobody is asked whether there is a cluster.
        [&["--yes", "--limit", "shed"][..], &["--yes"]].into_iter().try_for_each(|words| {
            let ran = homectl.run("apply", words)?.with(0)?;
            ensure(ran.out.contains("No changes."), || ran.seen())
        })
    });
    super::drills::short(scene, homectl, cluster)
}

/// Adds a name to the API: three certificates, three restarts. Never are two API servers away at a time.
fn roll(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let contexts = CONTROL_PLANES.iter().map(|node| context_of(cluster, node)).collect::<Result<Vec<_>>>()?;
    homectl.write_inventory(&cluster.lab.inventory()?.replace("[ssh]", "[api]\nnames = [\"k8s.e2e.test\"]\n\n[ssh]"))?;
    let done = AtomicBool::new(false);
    let away = Mutex::new(Vec::new());
    let ran = std::thread::scope(|scope| {
        for (i, context) in contexts.iter().enumerate() {
            let (done, away) = (&done, &away);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    let said = context.run(&["--request-timeout=1s", "get", "--raw", "/readyz"], "", Duration::from_secs(2));
                    // Refused is away. Late is what a busy computer is.
                    if said.is_ok_and(|ran| ran.code != Some(0) && !ran.err.contains("Client.Timeout"))
                        && let Ok(mut away) = away.lock()
                    {
                        away.push((asked, Instant::now(), i));
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            });
        }
        let ran = homectl.run("apply", &["--yes"]);
        done.store(true, Ordering::Relaxed);
        ran
    })?;
    scene.figure("a rolling restart of three API servers, seconds", ran.took);
    let ran = ran.with(0)?;
    let away = away.into_inner().map_err(|error| error.to_string())?;
    let nodes: std::collections::BTreeSet<usize> = away.iter().map(|(_, _, i)| *i).collect();
    let together = away.iter().any(|(from, to, i)| away.iter().any(|(f, t, j)| i != j && f < to && from < t));
    ensure(nodes.len() == CONTROL_PLANES.len() && !together, || format!("away: {away:?}; {}", ran.seen()))?;
    for node in CONTROL_PLANES {
        let names = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName";
        let said = cluster.lab.sh(node, names)?;
        ensure(said.contains("k8s.e2e.test"), || format!("{node} shows {said}"))?;
    }
    Ok(())
}

/// Upstream's etcdctl on one control plane: three members, each healthy.
pub(super) fn members(cluster: &Cluster, node: &str) -> Result {
    let said = cluster.lab.sh(node, &format!("{} endpoint health --cluster 2>&1", security::etcdctl(cluster, node)?))?;
    let healthy = said.lines().filter(|line| line.contains(" is healthy")).count();
    ensure(healthy == 3 && !said.contains("unhealthy"), || said)
}

/// The context whose API server runs on `node`.
fn context_of(cluster: &Cluster, node: &str) -> Result<Kubectl> {
    let host = cluster.nodes.iter().find(|n| n.name == node).map_or(0, |n| n.host);
    let server = format!("https://{}:6443", cluster.lab.address(host));
    let contexts = cluster.kubectl.contexts()?;
    contexts.into_iter().find(|k| k.server().is_ok_and(|s| s == server)).ok_or_else(|| format!("no context for {server}"))
}

/// It can be read and, which takes a leader, written.
fn answers(kubectl: &Kubectl) -> Result {
    kubectl.run(&["--request-timeout=2s", "get", "--raw", "/readyz"], "", Duration::from_secs(3))?.ok()?;
    let stamp = format!("stamp={:?}", Instant::now());
    let stamp: String = stamp.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '=').collect();
    kubectl
        .run(&["--request-timeout=2s", "annotate", "--overwrite", "namespace", "default", &stamp], "", Duration::from_secs(3))?
        .ok()
        .map(drop)
}

/// Kills a control plane and watches from two places until it is answered again, and stays so.
fn lose(scene: &Scene, cluster: &Cluster, victim: &str) -> Result {
    let other = CONTROL_PLANES.iter().find(|name| **name != victim).ok_or("no other")?;
    let outside = context_of(cluster, other)?;
    // The kubelet's own file: its certificate, and 127.0.0.1:7443.
    let kubelet = "timeout 3 /var/lib/e2e-kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=2s get node shed -o name";
    ensure(cluster.lab.sh(WORKER, "cat /etc/kubernetes/kubelet.conf")?.contains("https://127.0.0.1:7443"), || {
        "the worker's kubelet does not use the proxy".into()
    })?;
    answers(&outside)?;
    cluster.lab.sh(WORKER, kubelet)?;
    let done = AtomicBool::new(false);
    let trouble = Mutex::new(None);
    std::thread::scope(|scope| {
        // The worker must never be taken for dead.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Ok(said) = outside.ok(&["get", "node", WORKER, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}"])
                    && said != "True"
                    && let Ok(mut trouble) = trouble.lock()
                {
                    *trouble = Some(format!("{WORKER} was Ready={said} meanwhile"));
                }
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        let result = watch(scene, cluster, victim, &outside, kubelet);
        done.store(true, Ordering::Relaxed);
        result
    })?;
    trouble.into_inner().map_err(|error| error.to_string())?.map_or(Ok(()), Err)
}

fn watch(scene: &Scene, cluster: &Cluster, victim: &str, outside: &Kubectl, kubelet: &str) -> Result {
    let from = Instant::now();
    cluster.lab.each("kill", &[victim])?;
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| steady(from, || answers(outside)));
        let two = scope.spawn(|| steady(from, || cluster.lab.sh(WORKER, kubelet).map(drop)));
        (one.join(), two.join())
    });
    let one = one.map_err(|_| "the watch broke")??;
    let two = two.map_err(|_| "the watch broke")??;
    scene.figure(&format!("{victim} killed: kubectl is answered by another after, seconds"), one);
    scene.figure(&format!("{victim} killed: the worker's kubelet is answered after, seconds"), two);
    ensure(one <= LIMIT && two <= LIMIT, || {
        format!("kubectl after {:.1} s, the worker after {:.1} s", one.as_secs_f64(), two.as_secs_f64())
    })
}

/// How long after `from` it began to answer without another failure for ten seconds; at least until the limit has passed.
fn steady(from: Instant, ask: impl Fn() -> Result) -> Result<Duration> {
    let mut since: Option<Duration> = None;
    let mut last = String::new();
    while from.elapsed() < LIMIT * 4 {
        match ask() {
            Ok(()) => since = since.or(Some(from.elapsed())),
            Err(error) => (since, last) = (None, error),
        }
        if let Some(answered) = since
            && from.elapsed() > LIMIT
            && from.elapsed() > answered + Duration::from_secs(10)
        {
            return Ok(answered);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!("not answered for good within {} s; last: {last}", (LIMIT * 4).as_secs()))
}
