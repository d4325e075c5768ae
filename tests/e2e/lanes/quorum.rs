//! Two of three control planes are lost for good: what refuses, what it says, and how the one that is left becomes three again.

use crate::Result;
use crate::checks::{Cluster, machines, security};
use crate::homectl::Homectl;
use crate::lab::write;
use crate::scene::{Scene, ensure, eventually};

const SURVIVOR: &str = "attic";
const LOST: [&str; 2] = ["cellar", "garage"];
/// A word that must survive; nothing in it waits for a pod.
const CANARY: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: song, namespace: default}\ndata: {song: tweet}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: nest, namespace: default}\nstringData: {where: the-old-oak}\n";

pub(crate) fn run(scene: &Scene) -> Result {
    super::in_lab(scene, &super::FOUR, "trixie", |homectl, cluster| tell(scene, homectl, cluster))
}

fn tell(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let (lab, kubectl) = (cluster.lab, &cluster.kubectl);
    scene.step("fresh: apply, and a word that must survive", || {
        homectl.write_inventory(&lab.inventory()?)?;
        homectl.run("apply", &["--yes"])?.with(0)?;
        write(&homectl.dir.join("kubeconfig"), &homectl.run("kubeconfig", &[])?.ok()?)?;
        kubectl.apply(CANARY)
    })?;
    scene.step("lost: two control planes burn, nothing is served any more", || {
        // What was written last is in the survivor's log, though perhaps not yet in its store.
        kubectl.ok(&["create", "configmap", "last-words", "-n", "default"])?;
        lab.each("kill", &LOST)?;
        eventually(60, "the API is gone", || {
            let ran = kubectl.run(
                &["--request-timeout=3s", "create", "configmap", "after", "-n", "default"],
                "",
                std::time::Duration::from_secs(6),
            )?;
            ensure(ran.code != Some(0), || ran.seen())
        })
        .map(drop)
    })?;
    scene.check("lost: whatever would need the majority refuses, and says what to do", || {
        let ran = homectl.run("apply", &["--yes", "--allow-offline"])?.with(4)?;
        ensure(ran.err.contains("homectl restore --from-node NODE") && ran.err.contains("off: cellar, garage"), || ran.seen())?;
        let ran = homectl.run("restore", &["--yes", "--from-node", "cellar"])?;
        ensure(ran.code == Some(1) && ran.err.contains("does not answer"), || ran.seen())
    });
    scene.check("lost: every verb about a node and about versions refuses with the runbook, and has written nothing", || refused(homectl));
    scene.step("one: the survivor goes on alone, and nothing that was written is missing", || {
        let ran = homectl.run("restore", &["--yes", "--from-node", SURVIVOR])?.with(0)?;
        scene.figure("a survivor made a cluster of one member, seconds", ran.took);
        ensure(ran.err.contains("To grow it back"), || ran.seen())?;
        eventually(60, "the API answers", || kubectl.ok(&["get", "--raw", "/readyz"]))?;
        let song = kubectl.ok(&["get", "configmap", "song", "-o", "jsonpath={.data.song}"])?;
        let nest = kubectl.ok(&["get", "secret", "nest", "-o", "jsonpath={.data.where}"])?;
        kubectl.ok(&["get", "configmap", "last-words"])?;
        ensure(song == "tweet" && nest == "dGhlLW9sZC1vYWs=", || format!("{song} {nest}"))?;
        kubectl.ok(&["create", "configmap", "later", "-n", "default"]).map(drop)
    })?;
    scene.step("two: a new machine in one's place, while the other is still gone", || beside_the_lost(scene, homectl, cluster))?;
    scene.step("three: an emptied machine joins it by a plain apply", || grow(scene, homectl, cluster))?;
    scene.step("three: it burns once more, is let go, and another comes", || let_go(scene, homectl, cluster))?;
    scene.check("three: nothing is to be changed", || nothing_left(homectl));
    scene.step("back: all three are what a backup was, and three new members", || back(scene, homectl, cluster))?;
    scene.step("recover: the secrets are made anew from all three", || recover(scene, homectl))
}

/// A restore onto three control planes that live: fresh members of one cluster, of one mind about every key.
fn back(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let (lab, kubectl) = (cluster.lab, &cluster.kubectl);
    let kept = homectl.dir.join("kept").display().to_string();
    homectl.run("backup", &["--to", &kept])?.with(0)?;
    let etcdctl = security::etcdctl(cluster, SURVIVOR)?;
    let members = || lab.sh(SURVIVOR, &format!("{etcdctl} member list | cut -d , -f 1 | sort"));
    let revision = || -> Result<u64> {
        let told = lab.sh(SURVIVOR, &format!("{etcdctl} endpoint status -w json | grep -o '\"revision\":[0-9]*' | grep -o '[0-9]*$'"))?;
        told.trim().parse().map_err(|error| format!("{error}: {told}"))
    };
    kubectl.ok(&["delete", "configmap", "song", "-n", "default"])?;
    kubectl.ok(&["create", "configmap", "cuckoo", "-n", "default"])?;
    let (old, seen) = (members()?, revision()?);
    let file = newest(&kept)?;
    let ran = homectl.run("restore", &["--yes", "--from", &file])?.with(0)?;
    scene.figure("a restore onto three control planes, seconds", ran.took);
    let (new, now) = (members()?, revision()?);
    ensure(new.lines().count() == 3 && !new.lines().any(|id| old.contains(id)), || format!("members {old} became {new}"))?;
    ensure(now > seen, || format!("revision {now} after the restore, {seen} before"))?;
    let mind = lab.sh(SURVIVOR, &format!("{etcdctl} endpoint hashkv --cluster --rev {now} | cut -d , -f 2 | sort | uniq -c"))?;
    ensure(mind.trim().starts_with("3 ") && mind.lines().count() == 1, || mind)?;
    ensure(kubectl.ok(&["get", "configmap", "song", "-o", "jsonpath={.data.song}"])? == "tweet", || "the song".into())?;
    let left = kubectl.ok(&["get", "configmaps", "-n", "default", "-o", "name"])?;
    ensure(!left.contains("cuckoo"), || left)?;
    eventually(90, "all nodes Ready", || machines::ready(cluster))?;
    // Controllers and kubelets hear of what is written now.
    kubectl.ok(&["create", "deployment", "perch", "-n", "default", "--image=docker.io/library/busybox:1.36", "--", "sleep", "1000000"])?;
    eventually(90, "a new deployment", || kubectl.pods("default", "app=perch"))?;
    nothing_left(homectl)
}

fn newest(folder: &str) -> Result<String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
    entries.flatten().map(|e| e.path().display().to_string()).max().ok_or_else(|| "there is no backup".into())
}

fn recover(scene: &Scene, homectl: &Homectl) -> Result {
    let path = homectl.dir.join("inventory.secrets.age");
    std::fs::rename(&path, homectl.dir.join("lost.age")).map_err(|error| error.to_string())?;
    let ran = homectl.run("recover", &[])?.with(0)?;
    scene.figure("secrets recovered from four machines, seconds", ran.took);
    nothing_left(homectl)
}

fn nothing_left(homectl: &Homectl) -> Result {
    let ran = homectl.run("plan", &["--exit-code"])?.with(0)?;
    ensure(ran.out.contains("No changes."), || ran.seen())
}

/// Nobody comes or goes, and no version moves: with and without those that are off, exit 4, the way out, and the files as they were.
fn refused(homectl: &Homectl) -> Result {
    let files = ["inventory.toml", "inventory.lock", "inventory.secrets.age"].map(|name| homectl.dir.join(name));
    let read = || -> Result<Vec<Vec<u8>>> {
        files.iter().map(|path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))).collect()
    };
    let text = std::fs::read_to_string(homectl.inventory()).map_err(|error| error.to_string())?;
    let version = text.lines().find_map(|l| l.strip_prefix("kubernetes = \"")?.split('"').next()).ok_or("no version")?;
    let before = read()?;
    for verb in [
        &["upgrade", "--to", version][..],
        &["add-node", "tower", "198.18.255.250"],
        &["remove-node", "shed"],
        &["remove-node", "garage", "--dead"],
        &["replace-node", "cellar"],
    ] {
        for flags in [&["--yes"][..], &["--yes", "--allow-offline"]] {
            let ran = homectl.run(verb[0], &[&verb[1..], flags].concat())?.with(4)?;
            ensure(ran.err.contains("homectl restore --from-node NODE"), || ran.seen())?;
            ensure(read()? == before, || format!("{verb:?} has written something: {}", ran.seen()))?;
        }
    }
    Ok(())
}

/// Counting the inventory would say that there is no majority: two of three are away, and stay so.
fn beside_the_lost(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let lab = cluster.lab;
    lab.each("wipe", &["cellar"])?;
    let (pin, address) = (lab.pin("cellar")?, lab.address(12));
    let all = ["cellar", "--address", &address, "--host-key", &pin, "--yes"];
    let waits = homectl.run("replace-node", &all)?.with(1)?;
    ensure(waits.err.contains("--allow-offline") && waits.err.contains("garage"), || waits.seen())?;
    let ran = homectl.run("replace-node", &[&all[..], &["--allow-offline"]].concat())?.with(3)?;
    scene.figure("a new machine in a lost one's place beside a survivor, seconds", ran.took);
    healthy(cluster, 2)
}

/// A machine whose disk burnt: no data, and no memory of a cluster.
fn grow(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let lab = cluster.lab;
    lab.each("start", &["garage"])?;
    // Its etcd waits for a cluster that is no more, and systemd for that: it does not end its start.
    eventually(60, "the machine can be reached", || lab.sh("garage", "systemctl is-active ssh"))?;
    lab.sh("garage", "systemctl disable --now etcd kube-apiserver && rm -r /var/lib/etcd/member /var/lib/homectl/etcd-cluster-id")?;
    let ran = homectl.run("apply", &["--yes"])?.with(0)?;
    scene.figure("an emptied control plane joined again, seconds", ran.took);
    healthy(cluster, 3)?;
    eventually(90, "all nodes Ready", || machines::ready(cluster)).map(drop)
}

/// A control plane that is dead leaves without being asked, and a new machine takes its name.
fn let_go(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let lab = cluster.lab;
    lab.each("kill", &["garage"])?;
    let ran = homectl.run("remove-node", &["garage", "--dead", "--yes"])?.with(0)?;
    scene.figure("a dead control plane removed, seconds", ran.took);
    healthy(cluster, 2)?;
    let nodes = cluster.kubectl.ok(&["get", "nodes", "-o", "name"])?;
    ensure(!nodes.contains("garage"), || nodes)?;
    let peers = lab.sh(SURVIVOR, "wg show wg0 peers | wc -l")?;
    ensure(peers.trim() == "2", || format!("{peers} peers of {SURVIVOR}"))?;
    lab.each("wipe", &["garage"])?;
    let (pin, address) = (lab.pin("garage")?, lab.address(13));
    homectl.run("add-node", &["garage", &address, "--host-key", &pin, "--role", "control-plane", "--yes"])?.with(0)?;
    healthy(cluster, 3)?;
    eventually(90, "all nodes Ready", || machines::ready(cluster)).map(drop)
}

/// So many members of etcd, all of them healthy, by etcdctl's word.
fn healthy(cluster: &Cluster, members: usize) -> Result {
    let told = cluster.lab.sh(SURVIVOR, &format!("{} endpoint health --cluster 2>&1", security::etcdctl(cluster, SURVIVOR)?))?;
    ensure(told.matches("is healthy").count() == members && told.lines().count() == members, || told)
}
