//! Where copies go, and what one place's trouble does to the others.

use super::*;
use crate::cli::Cli;
use crate::inventory;
use clap::Parser as _;
use std::fs;
use std::path::Path;

fn inventory(home: &Path, table: &str) -> Inventory {
    let path = home.join("inventory.toml");
    let nodes = "[[node]]\nname = \"attic\"\naddress = \"192.168.1.20\"\nrole = \"control-plane\"\n[[node]]\nname = \"shed\"\naddress = \"192.168.1.24\"\n";
    fs::write(&path, format!("[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n{table}{nodes}")).unwrap();
    inventory::read(&path).unwrap()
}

fn typed(words: &str) -> Backup {
    match Cli::try_parse_from(format!("homectl backup {words}").split_whitespace()).unwrap().verb {
        crate::cli::Verb::Backup(args) => args,
        other => panic!("{other:?}"),
    }
}

/// Where copies go and how many stay, for people.
fn meant(words: &str, table: &str) -> (Vec<String>, Option<usize>) {
    let home = tempfile::tempdir().unwrap();
    let (args, inventory) = (typed(words), inventory(home.path(), table));
    let goals = goals(&args, &inventory, "home.backup.age").unwrap();
    let shown = goals.iter().map(|goal| match goal {
        Goal::Open(place) => place.show("x").replace(&home.path().display().to_string(), "HOME"),
        Goal::OnNode { node, folder } => format!("node:{node}:{folder}/x"),
    });
    (shown.collect(), rotation(&args, &inventory))
}

#[test]
fn the_inventorys_places_are_those_where_none_is_named() {
    const TABLE: &str = "[backup]\nto = [\"/mnt/nas\", \"near\", \"node:shed:/srv/backups\"]\nkeep = 14\n";
    let all = || ["/mnt/nas/x", "HOME/near/x", "node:shed:/srv/backups/x"].map(str::to_owned).to_vec();
    assert_eq!(meant("", TABLE), (all(), Some(14)));
    assert_eq!(meant("--keep 3", TABLE), (all(), Some(3)));
    assert_eq!(meant("--out here.age", TABLE), (vec!["here.age".into()], None));
    assert_eq!(meant("--to /srv --to node:attic:/srv", TABLE), (vec!["/srv/x".into(), "node:attic:/srv/x".into()], None));
    assert_eq!(meant("--to /srv --keep 2", ""), (vec!["/srv/x".into()], Some(2)));
    assert_eq!(meant("", ""), (vec!["home.backup.age".into()], None));
}

#[test]
fn what_cannot_be_meant_is_refused_before_anybody_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let inventory = inventory(home.path(), "");
    let refused = |words: &str| goals(&typed(words), &inventory, "x").err().map(|f| (f.exit_code(), f.what().to_owned())).unwrap();
    assert_eq!(refused("--keep 3"), (exit::USAGE, "--keep is for places of many backups, and none is named".into()));
    assert_eq!(refused("--to node:loft:/srv"), (exit::USAGE, "there is no node `loft` that backups could lie on".into()));
    assert_eq!(refused("--to node:shed").0, exit::USAGE);
    assert!(Cli::try_parse_from(["homectl", "backup", "--out", "x", "--keep", "3"]).is_err());
}

/// Two folders that take it, and one in whose way a file lies.
#[tokio::test]
async fn one_place_that_fails_keeps_no_other_from_its_copy() {
    let dir = tempfile::tempdir().unwrap();
    let folder = |name: &str| Place::Folder(dir.path().join(name));
    fs::write(dir.path().join("b"), "in the way").unwrap();
    let name = |day: u8| format!("home-202611{day:02}T060000Z.backup.age");
    let mut seen = Vec::new();
    for day in 1..=3 {
        let staged = Place::Folder(dir.path().join("staged")).staging().unwrap();
        fs::write(staged.path(), format!("backup {day}")).unwrap();
        let mut failures = Vec::new();
        let copies = keep(&[folder("a"), folder("b"), folder("c")], staged, &name(day), Some(2), "home", &mut failures).await;
        assert!(failures.len() == 1 && failures[0].to_string().contains("/b"), "{failures:?}");
        // What had to be made is told as such: it may be a disk that is not mounted.
        assert!(copies.iter().all(|copy| copy.there == Some(usize::from(day).min(2))), "{copies:?}");
        seen = copies.into_iter().map(|copy| (copy.place, copy.removed)).collect();
    }
    let path = |place: &str, day| dir.path().join(place).join(name(day));
    assert_eq!(seen, ["a", "c"].map(|place| (path(place, 3).display().to_string(), vec![name(1)])));
    for place in ["a", "c"] {
        assert_eq!(fs::read_to_string(path(place, 2)).unwrap(), "backup 2");
        assert_eq!(fs::read_dir(dir.path().join(place)).unwrap().count(), 2);
    }
    assert_eq!(fs::read_dir(dir.path().join("staged")).unwrap().count(), 0, "nothing is left");
}

/// Not even its own copy goes where the place's others are of another time; that is a failure, and the copy is there.
#[tokio::test]
async fn a_clock_that_was_wrong_is_told_and_removes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let ahead = "home-20271122T060000Z.backup.age";
    fs::write(dir.path().join(ahead), "another").unwrap();
    let place = Place::Folder(dir.path().to_path_buf());
    let mut failures = Vec::new();
    let staged = place.staging().unwrap();
    let copies = keep(&[place], staged, "home-20261122T060000Z.backup.age", Some(1), "home", &mut failures).await;
    assert!(copies.len() == 1 && copies[0].removed.is_empty() && copies[0].there == Some(2), "{copies:?}");
    assert!(failures.len() == 1 && failures[0].evidence() == [ahead], "{failures:?}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    assert!(apart("attic", 30).is_none() && apart("attic", -31).unwrap().contains("attic: its clock is 31 s behind this computer's"));
}

#[test]
fn a_clone_that_is_behind_makes_no_backup() {
    assert!(of_one_cluster(Some("0a"), "attic", "0a").is_ok());
    assert!(of_one_cluster(None, "attic", "0a").is_ok(), "a lock from before the ID was kept there");
    let refused = of_one_cluster(Some("0b"), "attic", "0a").unwrap_err().to_string();
    assert!(refused.contains("another etcd cluster"), "{refused}");
}
