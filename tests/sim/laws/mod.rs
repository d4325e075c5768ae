//! Ring 4: laws over all steps, pure. What a machine says is written here as it comes over the wire ([`reply`]).

mod looks;
mod order;
mod reply;
mod secrecy;

use crate::world::World;
use homectl::plan::{self, Observed, Plan};
use homectl::steps::{Lane, Mode, Step};
use homectl::want::{Seen, Want, probe};
use reply::Host;
use std::sync::LazyLock;

/// Any moment will do.
const NOW: i64 = 1_795_000_000;

/// Every scene, made once: keys take their time.
fn worlds() -> &'static [World] {
    static WORLDS: LazyLock<Vec<World>> = LazyLock::new(|| World::all(NOW));
    &WORLDS
}

/// The wants of one machine in the order of its look.
fn wants(steps: &[Step]) -> Vec<Want> {
    steps.iter().flat_map(|s| &s.wants).cloned().collect()
}

/// The steps of each machine of each scene, with a name for messages.
fn machines(mode: Mode) -> Vec<(String, Vec<Step>)> {
    let mut all = Vec::new();
    for world in worlds() {
        let steps = world.node_steps(mode);
        for node in &world.cluster.nodes {
            let lane = Lane::Node(node.name.clone());
            all.push((format!("{} {}", world.name, node.name), steps.iter().filter(|s| s.id.lane == lane).cloned().collect()));
        }
    }
    all
}

/// The plan of a world all of whose machines are so; the API holds what `object` says of each object.
fn plan(world: &World, mode: Mode, host: Host, object: impl Fn(&homectl::want::Object) -> Seen) -> Plan {
    let steps = world.steps(mode);
    let mut observed = Observed::new();
    for step in &steps {
        let seen = match step.id.lane {
            Lane::Node(_) => probe::parse(&step.wants, &reply::text(&reply::reply(&step.wants, host))),
            Lane::Cluster => step.wants.iter().map(|w| if let Want::Object(o) = w { object(o) } else { panic!("{w:?}") }).collect(),
        };
        observed.insert(step.id.clone(), seen);
    }
    plan::diff(&world.cluster.name, mode, steps, &observed).unwrap()
}

/// Of a cluster that is not there yet.
fn fresh(world: &World) -> Plan {
    plan(world, Mode::Present, Host::Fresh, |_| Seen::NoApi("an earlier step makes it".into()))
}

/// Of one that is as wanted.
fn settled(world: &World) -> Plan {
    plan(world, Mode::Present, Host::OpenedUp, |_| Seen::Same)
}

/// Of one that is as wanted and is to go.
fn leaving(world: &World) -> Plan {
    plan(world, Mode::Absent, Host::OpenedUp, |_| Seen::Same)
}
