//! Whoever has an account on a machine, and the folders that everybody may write in.

use super::engine::{Fleet, Trouble, told};
use super::kill::{converge, left, made, now};
use super::machine::Picture;
use crate::scenes::Scene;
use crate::world::World;
use homectl::steps::Mode;
use std::fs;

/// Where anybody on a machine could lay traps.
const OPEN: [&str; 2] = ["tmp", "var/tmp"];

fn without_open(picture: Picture) -> Picture {
    picture.into_iter().filter(|(path, _)| !OPEN.iter().any(|open| path.ends_with(open))).collect()
}

/// Nothing is staged where others may write: with a file in the place of each such folder, every script works as ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_staged_where_others_may_write() {
    let world = World::of("one", Scene::one(), now());
    let expected = made(&world).await;
    let mut fleet = Fleet::new(world);
    let machine = fleet.machine("attic");
    let fresh = fleet.picture();
    for open in OPEN {
        let path = machine.root().join(open);
        let _ = fs::remove_dir_all(&path);
        fs::write(path, "a trap").unwrap();
    }
    let ran = fleet.run(Mode::Present, &Trouble::default()).await;
    assert_eq!(ran.report.failed, Vec::new(), "{}", told(&ran.plan));
    converge(&mut fleet, Mode::Present, "without open folders").await;
    assert_eq!(without_open(fleet.picture()), without_open(expected.picture()));
    converge(&mut fleet, Mode::Absent, "without open folders").await;
    assert_eq!(left(&without_open(fresh), &without_open(fleet.picture())), Vec::<String>::new());
    for open in OPEN {
        assert_eq!(fs::read_to_string(machine.root().join(open)).unwrap(), "a trap");
    }
}
