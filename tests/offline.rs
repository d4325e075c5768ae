//! What works without any machine and any network: plans, files and annotations from an inventory and its lock.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use assert_cmd::assert::OutputAssertExt;
use homectl::cluster::Lock;
use homectl::inventory;
use homectl::secrets::{self, Secrets};
use lock::lock;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use watched::watched;

#[path = "fixture/lock.rs"]
mod lock;
#[path = "fixture/watched.rs"]
mod watched;

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
        self.told(code, args).0
    }

    /// stdout and stderr of a verb that ends with `code`.
    fn told(&self, code: i32, args: &[&str]) -> (String, String) {
        let told = self.command().args(args).assert().code(code);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&told.get_output().stdout), text(&told.get_output().stderr))
    }

    /// A secrets file for the holder of a new identity, which lies at `path`.
    fn secrets(&self, path: &str) -> PathBuf {
        let inventory = inventory::read(&self.inventory()).unwrap();
        let cluster = inventory.resolve(&lock(&inventory)).unwrap();
        let secrets = Secrets::make(&cluster, jiff::Timestamp::now().as_second()).unwrap();
        let identity = secrets::create_identity(&self.0.path().join(path)).unwrap();
        let file = self.inventory().with_extension("secrets.age");
        secrets::save(&file, &secrets, &identity.identity, &[]).unwrap();
        file
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        command.current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }
}

const HOUSE: &str = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"pi\"\n\n[[node]]\nname = \"attic\"\naddress = \"192.168.1.20\"\n\
                     role = \"control-plane\"\n\n[[node]]\nname = \"barn\"\naddress = \"192.168.1.21\"\n\n[[addon]]\nname = \"metrics-server\"\n";

/// A house in which nobody answers.
const AWAY: &str = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"pi\"\n\n[[node]]\nname = \"attic\"\naddress = \"127.0.0.1\"\n\
                    port = 1\nrole = \"control-plane\"\n";

#[test]
fn without_the_identity_a_plan_is_made_and_says_what_it_does_not_know() {
    let home = Home::new(AWAY);
    let file = home.secrets("elsewhere.txt");
    let sealed = std::fs::read(&file).unwrap();
    let text = home.run(3, &["plan", "--locked"]);
    let why = "inventory.secrets.age stays shut: no identity was named, and there is none at ";
    assert!(text.contains("Warnings:") && text.contains(why) && text.contains("not by content"), "{text}");
    // What `HOMECTL_IDENTITY` comes to in a workflow that has no such secret.
    let plan: Value = serde_json::from_str(&home.run(3, &["plan", "--locked", "--json", "--identity", ""])).unwrap();
    assert!(plan["not_compared"]["why"].as_str().unwrap().contains(why), "{plan}");
    assert!(fits(&plan), "{plan}");
    let text = home.run(3, &["plan", "--locked", "--format", "github"]);
    assert!(text.contains("::warning file=inventory.toml,title=homectl plan%3A home%3A not everything was compared::"), "{text}");
    // Somebody else's identity where one's own would lie.
    secrets::create_identity(&home.0.path().join(".config/homectl/identity.txt")).unwrap();
    let text = home.run(3, &["plan", "--locked"]);
    assert!(text.contains("stays shut: it is not for the identity "), "{text}");
    for verb in ["status", "check"] {
        let (_, err) = home.told(if verb == "check" { 1 } else { 3 }, &[verb, "--locked"]);
        assert!(!err.contains("does not open"), "{verb}: {err}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), sealed);
}

#[test]
fn whoever_changes_something_hears_of_an_exchange_that_is_under_way() {
    let home = Home::new(AWAY);
    let file = home.secrets("identity.txt");
    let identity = secrets::find_identity(Some(&home.0.path().join("identity.txt"))).unwrap().unwrap().identity;
    let mut all = secrets::open(&file, "home", &identity).unwrap();
    let told = |words: &str| {
        let (_, err) = home.told(1, &["apply", "--yes", "--locked", "--identity", "identity.txt"]);
        assert_eq!(err.matches(words).count(), 1, "{err}");
    };
    all.turn_authorities(jiff::Timestamp::now().as_second()).unwrap();
    secrets::save(&file, &all, &identity, &[]).unwrap();
    told("new authorities are on their way in (1 of 3: machines trust them beside the old ones): homectl certs rotate-ca goes on\n");
    // As the clock stands behind everything that the first ones signed.
    let begun = jiff::Timestamp::now().as_second() - 11 * 365 * 24 * 3600;
    let inventory = inventory::read(&home.inventory()).unwrap();
    all = Secrets::make(&inventory.resolve(&lock(&inventory)).unwrap(), begun).unwrap();
    all.supersede_authorities(jiff::Timestamp::now().as_second()).unwrap();
    secrets::save(&file, &all, &identity, &[]).unwrap();
    told("new authorities take the place of expired ones (1 of 2: they sign; nobody needs the old ones): homectl certs rescue goes on\n");
}

#[test]
fn what_needs_the_identity_says_so() {
    let home = Home::new(AWAY);
    home.secrets("elsewhere.txt");
    secrets::create_identity(&home.0.path().join("wrong.txt")).unwrap();
    let needs: [&[&str]; 4] = [&["apply", "--yes"], &["reset", "--yes"], &["kubeconfig"], &["plan", "--out", "plan.json"]];
    for args in needs {
        let (out, err) = home.told(65, &[args, &["--locked"]].concat());
        assert!(out.is_empty() && err.contains("no identity to open") && err.contains("encrypted to age1"), "{args:?}: {out}{err}");
    }
    assert!(!home.0.path().join("plan.json").exists());
    // One that was named has to fit.
    let (_, err) = home.told(65, &["plan", "--locked", "--identity", "wrong.txt"]);
    assert!(err.contains("this identity does not open"), "{err}");
    let (_, err) = home.told(64, &["plan", "--locked", "--identity", "missing.txt"]);
    assert!(err.contains("cannot read the identity missing.txt"), "{err}");
    let with = home.run(3, &["plan", "--locked", "--identity", "elsewhere.txt"]);
    assert!(!with.contains("stays shut"), "{with}");
}

#[test]
fn a_plan_fits_its_schema() {
    let home = Home::new(HOUSE);
    let mut plan: Value = serde_json::from_str(&home.run(0, &["plan", "--offline", "--locked", "--json"])).unwrap();
    assert!(fits(&plan));
    plan["steps"][0]["items"][0]["act"] = "explode".into();
    assert!(!fits(&plan), "the schema says no");
}

/// Whether the plan, alone and in a file, is as the schema says.
fn fits(plan: &Value) -> bool {
    assert_eq!(plan["counts"]["blocked"], 0, "nothing can stand in the way on a machine that is new");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut schema: Value = serde_json::from_str(&std::fs::read_to_string(root.join("docs/plan.schema.json")).unwrap()).unwrap();
    let file =
        serde_json::json!({"format": 1, "homectl": "0", "inventory": "i.toml", "limit": [], "inputs": {}, "rests_on": {}, "plan": plan});
    let whole = jsonschema::validator_for(&schema).unwrap();
    schema["$ref"] = "#/$defs/plan".into();
    for key in ["required", "properties", "additionalProperties"] {
        schema.as_object_mut().unwrap().remove(key);
    }
    let alone = jsonschema::validator_for(&schema).unwrap();
    assert_eq!(whole.is_valid(&file), alone.is_valid(plan));
    alone.is_valid(plan)
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

/// A large house. The bounds are those of the design, in a build without optimisation.
#[test]
fn a_thousand_nodes() {
    let mut text = HOUSE.replace("[ssh]", "[network]\noverlay = \"10.64.0.0/20\"\npods = \"10.128.0.0/9\"\n\n[ssh]");
    for i in 0..998 {
        let _ = write!(text, "\n[[node]]\nname = \"n{i}\"\naddress = \"192.168.{}.{}\"\n", 2 + i / 200, 1 + i % 200);
    }
    let home = Home::new(&text);
    let run = |args: &[&str]| watched(home.command().args(args), home.0.path());
    let seen = run(&["validate"]);
    assert!(seen.status.success() && seen.cpu < 100, "{}: {} hundredths of a second", seen.err, seen.cpu);
    let seen = run(&["plan", "--offline", "--locked"]);
    let lanes: BTreeSet<&str> = seen.out.lines().filter(|l| !l.starts_with(' ')).collect();
    assert!(lanes.contains("n997") && lanes.contains("n0"), "every node has a lane: {}", seen.err);
    assert!(seen.peak < 500_000, "{} KiB", seen.peak);
    assert!(seen.cpu < 2000, "{} hundredths of a second", seen.cpu);
}
