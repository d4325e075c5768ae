//! Machines that come and go, as far as that is refused before any machine is asked: what is on disk stays as it was.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "fixture/lock.rs"]
mod fixture;

use assert_cmd::Command;
use homectl::cluster::Lock;
use homectl::inventory;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Nobody listens at any of these ports.
const HOUSE: &str = "# Ours.\n[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"pi\"\nport = 1\n\n[[node]]\nname = \"attic\"\n\
                     address = \"127.0.0.1\" # up there\nrole = \"control-plane\"\nendpoint = \"attic.lan:51820\"\n\n[[node]]\nname = \"barn\"\naddress = \"127.0.0.2\"\nendpoint = \"barn.lan:51820\"\n";

struct Home(tempfile::TempDir);

impl Home {
    /// The house, its lock with the number of one node more, and secrets.
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.inventory(), HOUSE).unwrap();
        let mut lock = fixture::lock(&inventory::read(&home.inventory()).unwrap());
        lock.numbers.insert("loft".into(), 7);
        lock.save(&Lock::path(&home.inventory())).unwrap();
        home
    }

    fn inventory(&self) -> PathBuf {
        self.0.path().join("inventory.toml")
    }

    /// Inventory and lock, by name.
    fn files(&self) -> BTreeMap<&'static str, String> {
        ["inventory.toml", "inventory.lock"].map(|name| (name, std::fs::read_to_string(self.0.path().join(name)).unwrap())).into()
    }

    /// stderr of a verb that ends with `code` and leaves both files as they were.
    fn refused(&self, code: i32, args: &str) -> String {
        let before = self.files();
        let mut words = args.split(' ');
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.arg(words.next().unwrap()).arg(self.inventory()).args(words).arg("--yes");
        let told = command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path()).assert().code(code);
        assert_eq!(self.files(), before, "{args}");
        String::from_utf8(told.get_output().stderr.clone()).unwrap()
    }
}

#[test]
fn what_cannot_be_meant_changes_nothing() {
    let home = Home::new();
    let table = [
        (64, "remove-node shed", "there is no node `shed`"),
        (4, "remove-node attic", "attic is the last control plane"),
        (4, "remove-node attic --dead", "attic is the last control plane"),
        (1, "remove-node loft", "the machine does not answer; nothing was changed anywhere"),
        (64, "remove-node barn --limit attic", "goes without --limit"),
        (64, "replace-node loft", "there is no node `loft`"),
        (4, "add-node barn 127.0.0.9", "`barn` is in the inventory already, otherwise than this"),
        (4, "add-node barn 127.0.0.2 --role control-plane", "`barn` is in the inventory already, otherwise than this"),
        (65, "add-node Shed! 127.0.0.9 --endpoint shed.lan:51820", "Shed!"),
        (65, "add-node shed 127.0.0.2 --endpoint shed.lan:51820", "127.0.0.2"),
    ];
    for (code, args, said) in table {
        let err = home.refused(code, args);
        assert!(err.contains(said) && !err.contains("SHA256"), "{args}: {err}");
    }
}

/// Nobody answers: nothing was begun, so nothing is written.
#[test]
fn who_does_not_answer_is_not_written_down() {
    let home = Home::new();
    for args in ["add-node shed 127.0.0.9 --endpoint shed.lan:51820", "remove-node barn", "replace-node barn --address 127.0.0.9"] {
        let err = home.refused(1, args);
        assert!(err.contains("does not answer; nothing was changed anywhere"), "{args}: {err}");
    }
}

/// Backups that lie on it would be lost without a word.
#[test]
fn a_node_that_keeps_backups_is_not_taken_out_unseen() {
    let home = Home::new();
    std::fs::write(home.inventory(), HOUSE.replace("[ssh]", "[backup]\nto = [\"/mnt/nas\", \"node:barn:/srv/backups\"]\n\n[ssh]")).unwrap();
    let err = home.refused(65, "remove-node barn --dead");
    assert!(err.contains("no node is called `barn`") && err.contains("node:barn:/srv/backups"), "{err}");
}
