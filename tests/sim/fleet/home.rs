//! The operator's folder, for the program itself: an inventory of simulated machines, its lock, its secrets.

use crate::lock::lock;
use crate::world::World;
use homectl::cluster::Lock;
use homectl::{inventory, secrets};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) struct Home(TempDir);

impl Home {
    /// Of `count` machines, three of them control planes, each with an address of its own on the loopback.
    pub(crate) fn of(count: usize, key: &Path, host_key: &str, port: u16) -> Self {
        let home = Self(TempDir::new().unwrap());
        let mut text = format!(
            "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"root\"\nport = {port}\nidentity = \"{}\"\n",
            key.display()
        );
        for number in 1..=count {
            let role = if number <= 3 { "role = \"control-plane\"\n" } else { "" };
            let _ = write!(
                text,
                "\n[[node]]\nname = \"{}\"\naddress = \"{}\"\nendpoint = \"192.168.1.{number}:51820\"\nhost-key = \"{host_key}\"\n{role}",
                name(number),
                address(number)
            );
        }
        std::fs::write(home.inventory(), text).unwrap();
        secrets::create_identity(&home.identity()).unwrap();
        lock(&inventory::read(&home.inventory()).unwrap()).save(&Lock::path(&home.inventory())).unwrap();
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.path().join("inventory.toml")
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path().join("identity")
    }

    /// What the program will read.
    pub(crate) fn world(&self, now: i64) -> World {
        let lock = Lock::load(&Lock::path(&self.inventory())).unwrap().unwrap();
        let cluster = inventory::read(&self.inventory()).unwrap().resolve(&lock).unwrap();
        let file = self.inventory().with_extension("secrets.age");
        let secrets = secrets::prepare(&file, &cluster, Some(&self.identity()), now).unwrap().secrets;
        World { name: "home", cluster, facts: BTreeMap::new(), secrets, now }
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("n{number}")
}

pub(crate) fn address(number: usize) -> String {
    format!("127.1.0.{number}")
}
