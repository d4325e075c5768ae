//! Certificates that control planes renewed themselves: other bytes than the operator's side made, and as good. A look at such
//! machines may not cost more than the budget has room for.

use super::engine::{self, Fleet, Trouble};
use super::machine::Machine;
use crate::scenes::Scene;
use crate::world::World;
use homectl::facts;
use homectl::pki::{Pair, reissue};
use homectl::ssh::{LocalShell, Remote};
use homectl::steps::{Lane, Mode};
use homectl::want::{Leaf, LeafForm, Seen, Want, probe};
use std::fs;

const DAY: i64 = 24 * 60 * 60;

/// Bytes of the replies to the two questions of a run that changes nothing. Of the 20 000 of a whole run, the connection itself
/// takes less than the rest.
const BYTES: usize = 8_000;

/// The same key, another certificate, as the machine would have written it, at the same moment: nobody has to hear of it.
/// What it says, in base64.
pub(super) fn renew(machine: &Machine, world: &World, leaf: &Leaf) -> String {
    let path = machine.root().join(leaf.path.trim_start_matches('/'));
    let old = fs::read_to_string(&path).unwrap();
    let pair: &Pair = world.secrets.leaves.iter().find(|((owner, _), pair)| *owner == machine.name && holds(&old, pair)).unwrap().1;
    let new = reissue(world.secrets.authority(leaf.spec.ca), &leaf.spec, &pair.key, world.now - DAY).unwrap();
    let text = match leaf.form {
        LeafForm::Pem => new.cert.clone(),
        LeafForm::Kubeconfig => old.replace(&base64(&pair.cert), &base64(&new.cert)),
    };
    assert_ne!(text, old);
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, text).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    letters(&new.cert)
}

fn letters(pem: &str) -> String {
    pem.lines().filter(|l| !l.starts_with('-')).collect()
}

fn base64(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}

fn holds(text: &str, pair: &Pair) -> bool {
    text == pair.cert || text.contains(&base64(&pair.cert))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_machines_renewed_themselves_is_as_good_and_costs_little() {
    let world = World::of("one", Scene::one(), jiff::Timestamp::now().as_second());
    let mut fleet = Fleet::new(world);
    fleet.run(Mode::Present, &Trouble::default()).await;
    let again = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(again.plan.counts().changes(), 0, "{}", engine::told(&again.plan));
    let lane = Lane::Node("attic".into());
    let steps = fleet.world.node_steps(Mode::Present);
    let wants: Vec<Want> = steps.into_iter().filter(|s| s.id.lane == lane).flat_map(|s| s.wants).collect();
    let machine = fleet.machine("attic");
    let leaves = wants.iter().filter_map(|w| if let Want::Leaf(leaf) = w { Some(leaf) } else { None });
    let made: Vec<String> = leaves.map(|leaf| renew(&machine, &fleet.world, leaf)).collect();
    let shell = LocalShell::with_shell(machine.shell()).await.unwrap();
    let look = shell.run(&probe::compile(&wants), &mut |_| ()).await.unwrap().output;
    let seen = probe::parse(&wants, &look);
    let told = seen.iter().filter_map(|s| if let Seen::Leaf { pem, .. } = s { Some(letters(pem)) } else { None });
    assert_eq!(told.collect::<Vec<_>>(), made);
    assert_eq!(made.len(), 11);
    let facts = shell.run(&facts::script(), &mut |_| ()).await.unwrap().output;
    assert!(look.len() + facts.len() <= BYTES, "{} bytes and {} of facts", look.len(), facts.len());
    drop(shell);
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.plan.counts().changes(), 0, "{}", engine::told(&ran.plan));
}
