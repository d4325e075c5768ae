//! What works without any machine and any network: plans, files and annotations from an inventory and its lock.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use assert_cmd::Command;
use homectl::cluster::Lock;
use homectl::inventory;
use lock::lock;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[path = "fixture/lock.rs"]
mod lock;

struct Home(tempfile::TempDir);

impl Home {
    /// `text` as the inventory, and a lock that covers it.
    fn new(text: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        std::fs::write(home.inventory(), text).unwrap();
        lock(&inventory::read(&home.inventory()).unwrap()).save(&Lock::path(&home.inventory())).unwrap();
        home
    }

    fn inventory(&self) -> PathBuf {
        self.0.path().join("inventory.toml")
    }

    /// stdout of a verb that ends with `code`.
    fn run(&self, code: i32, args: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.args(args).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        let told = command.assert().code(code);
        String::from_utf8(told.get_output().stdout.clone()).unwrap()
    }
}

const HOUSE: &str = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"pi\"\n\n[[node]]\nname = \"attic\"\naddress = \"192.168.1.20\"\n\
                     role = \"control-plane\"\n\n[[node]]\nname = \"barn\"\naddress = \"192.168.1.21\"\n\n[[addon]]\nname = \"metrics-server\"\n";

#[test]
fn a_plan_fits_its_schema() {
    let home = Home::new(HOUSE);
    let plan: Value = serde_json::from_str(&home.run(0, &["plan", "--offline", "--locked", "--json"])).unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(root.join("docs/plan.schema.json")).unwrap()).unwrap();
    let file =
        serde_json::json!({"format": 1, "homectl": "0", "inventory": "i.toml", "limit": [], "inputs": {}, "rests_on": {}, "plan": plan});
    let whole = jsonschema::validator_for(&schema).unwrap();
    assert!(whole.is_valid(&file), "{:?}", whole.iter_errors(&file).map(|e| e.to_string()).collect::<Vec<_>>());
    let mut other = file.clone();
    other["plan"]["steps"][0]["items"][0]["act"] = "explode".into();
    assert!(!whole.is_valid(&other), "the schema says no");
    schema["$ref"] = "#/$defs/plan".into();
    for key in ["required", "properties", "additionalProperties"] {
        schema.as_object_mut().unwrap().remove(key);
    }
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&plan));
}

#[test]
fn the_same_inventory_gives_the_same_bytes() {
    let home = Home::new(HOUSE);
    let args = ["plan", "--offline", "--locked", "--exit-code"];
    let text = home.run(2, &args);
    assert_eq!(text, home.run(2, &args));
    assert!(text.contains("no machine was asked") && text.contains("file:/etc/systemd/system/kubelet.service"), "{text}");
    assert!(!home.0.path().join("inventory.secrets.age").exists(), "no secrets were made");
}

#[test]
fn rendered_files_can_be_compared() {
    let home = Home::new(HOUSE);
    home.run(0, &["render", "--locked", "--out", "out"]);
    let unit = std::fs::read_to_string(home.0.path().join("out/barn/etc/systemd/system/kubelet.service")).unwrap();
    assert!(unit.contains("ExecStart="), "{unit}");
    let key = std::fs::read_to_string(home.0.path().join("out/attic/etc/kubernetes/pki/ca.key")).unwrap();
    assert_eq!(key, "(secret, 0600 root:root)\n");
    assert!(home.0.path().join("out/cluster/metrics-server.yaml").exists());
    // Written anew: what is no longer wanted goes, what is somebody else's stays.
    std::fs::write(home.0.path().join("out/mine"), "x").unwrap();
    std::fs::write(home.inventory(), HOUSE.replace("[[addon]]\nname = \"metrics-server\"\n", "")).unwrap();
    home.run(0, &["render", "--locked", "--out", "out"]);
    assert!(!home.0.path().join("out/cluster/metrics-server.yaml").exists() && home.0.path().join("out/mine").exists());
    std::fs::create_dir(home.0.path().join("full")).unwrap();
    std::fs::write(home.0.path().join("full/mine"), "x").unwrap();
    home.run(64, &["render", "--locked", "--out", "full"]);
    assert_eq!(std::fs::read_dir(home.0.path().join("full")).unwrap().count(), 1);
}

#[test]
fn annotations_point_at_nodes_and_mistakes() {
    let home = Home::new(HOUSE);
    let text = home.run(0, &["plan", "--offline", "--locked", "--format", "github"]);
    assert!(text.contains("::notice file=inventory.toml,line=8,title=attic%3A "), "{text}");
    assert!(text.contains("file=inventory.toml,line=13,title=barn%3A "), "{text}");
    std::fs::write(home.inventory(), HOUSE.replace("kubernetes =", "kubernets =")).unwrap();
    let text = home.run(65, &["plan", "--offline", "--locked", "--format", "github"]);
    assert!(text.contains("::error file=inventory.toml,line=3,col=1::unknown key `kubernets`"), "{text}");
}

/// A large house: seconds and megabytes, in a build without optimisation.
#[test]
fn five_hundred_nodes() {
    let mut text = HOUSE.replace("[ssh]", "[network]\noverlay = \"10.64.0.0/20\"\npods = \"10.128.0.0/9\"\n\n[ssh]");
    for i in 0..500 {
        let _ = write!(text, "\n[[node]]\nname = \"n{i}\"\naddress = \"192.168.{}.{}\"\n", 2 + i / 200, 1 + i % 200);
    }
    let home = Home::new(&text);
    let plan = home.run(0, &["plan", "--offline", "--locked"]);
    let lanes: BTreeMap<&str, usize> = plan.lines().filter(|l| !l.starts_with(' ')).map(|l| (l, 1)).collect();
    assert!(lanes.contains_key("n499") && lanes.contains_key("n0"), "every node has a lane");
}
