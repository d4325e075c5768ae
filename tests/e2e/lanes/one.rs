//! The smallest cluster, on either Debian, with a host key that nobody pinned.

use crate::Result;
use crate::checks::{Cluster, Node, machines, network, upkeep};
use crate::homectl::Homectl;
use crate::kubectl::Kubectl;
use crate::lab::{self, Lab, write};
use crate::scene::{Scene, ensure};
use crate::tree::Trees;

pub(crate) fn trixie(scene: &Scene) -> Result {
    run(scene, "trixie")
}

pub(crate) fn bookworm(scene: &Scene) -> Result {
    run(scene, "bookworm")
}

fn run(scene: &Scene, suite: &'static str) -> Result {
    let lab = Lab::up("one", suite)?;
    let homectl = Homectl::new(scene.lane)?;
    let cluster = Cluster {
        lab: &lab,
        kubectl: Kubectl::new(lab::kubectl()?, &homectl.dir.join("kubeconfig")),
        nodes: vec![Node { name: "attic", host: 11, control_plane: true }],
        spare: None,
    };
    let told = tell(scene, &homectl, &cluster);
    if told.is_err() {
        super::post_mortem(&cluster);
    }
    told
}

fn tell(scene: &Scene, homectl: &Homectl, cluster: &Cluster) -> Result {
    let text = cluster.lab.inventory()?;
    let unpinned: Vec<&str> = text.lines().filter(|line| !line.starts_with("host-key")).collect();
    homectl.write_inventory(&(unpinned.join("\n") + "\n"))?;
    scene.check("host key: unknown is refused, and told", || {
        let ran = homectl.run("apply", &["--yes"])?.with(1)?;
        let pin = cluster.lab.pin("attic")?;
        ensure(ran.err.contains("attic") && ran.err.contains(&pin) && ran.err.contains("--accept-new"), || ran.seen())
    });
    scene.step("fresh: apply --accept-new", || {
        let ran = homectl.run("apply", &["--yes", "--accept-new"])?.with(0)?;
        scene.figure("fresh apply of one machine, seconds", ran.took);
        write(&homectl.dir.join("kubeconfig"), &homectl.run("kubeconfig", &[])?.ok()?)
    })?;
    scene.step("fresh: all is well as soon as apply has ended", || {
        machines::ready(cluster)?;
        machines::system_pods(cluster)
    })?;
    scene.check("pods: answer through a service, by address and by name", || {
        cluster.kubectl.apply(network::WEB)?;
        let pods = network::web(cluster, 120)?;
        network::service(cluster, &pods)
    });
    scene.check("upkeep: certificates renewed by the machine itself", || upkeep::renewal(cluster, "attic"));
    scene.check("upkeep: a snapshot that can be restored", || upkeep::snapshot(cluster, "attic"));
    scene.step("again: No changes, and nothing is written", || {
        let before = Trees::of(cluster.lab, &["attic"])?;
        let ran = homectl.run("apply", &["--yes"])?.with(0)?;
        let after = Trees::of(cluster.lab, &["attic"])?;
        scene.figure("no-op apply of one machine, seconds", ran.took);
        ensure(ran.out.contains("No changes."), || ran.seen())?;
        after.same_as(&before)
    })
}
