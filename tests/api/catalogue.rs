//! What the catalogue and its steps come out as, for one machine and for three.

use crate::fixture::{catalogue, cluster, own, secrets};
use crate::lint::problems;
use homectl::addons::{ADDON, Bundle, MANAGED_BY, Memory, Owned, bundles, check, steps};
use homectl::cluster::{Cluster, Taint};
use homectl::steps::{Step, Test};
use homectl::want::Want;
use std::fmt::Write as _;
use std::path::Path;

fn all(cluster: &Cluster) -> Vec<Bundle> {
    bundles(cluster, &secrets(), &Memory::new()).unwrap()
}

/// Compares with a golden file; `UPDATE_GOLDENS=1` writes it.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/addons").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} differs; UPDATE_GOLDENS=1 rewrites it:\n{text}", path.display());
}

/// Objects as a plan shows them. What certificates make of them differs from run to run.
fn shown(bundles: &[Bundle]) -> String {
    let mut text = String::new();
    for object in bundles.iter().flat_map(|b| &b.objects) {
        let _ = writeln!(text, "# {}", object.addr());
        // The CA, on a line of its own.
        let is_pem = |l: &str| l.len() > 200 && !l.trim_start_matches('+').trim().contains(' ');
        for line in object.lines().iter().filter(|l| !l.starts_with("@@") && !is_pem(l)) {
            let varies = ["caBundle: ", "sha256 "].iter().any(|v| line.contains(v));
            let line = if varies { line.split_once(": ").map_or("", |(key, _)| key).to_owned() + ": …" } else { line.clone() };
            let _ = writeln!(text, "{}", line.trim_start_matches('+'));
        }
    }
    text
}

fn listed(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        let after: Vec<String> = step.after.iter().map(ToString::to_string).collect();
        let _ = writeln!(text, "{} ({}) after {}", step.id, step.title, after.join(", "));
        for want in &step.wants {
            let _ = writeln!(text, "  {}", want.addr());
        }
        if let Some(Test::Api(conditions)) = step.ready.as_ref().map(|r| &r.test) {
            for condition in conditions {
                let _ = writeln!(text, "  ? {condition}");
            }
        }
    }
    text
}

#[test]
fn objects_of_one_and_three_machines() {
    golden("one.yaml", &shown(&all(&cluster(&["attic"]))));
    golden("three.yaml", &shown(&all(&cluster(&["attic", "cellar", "garage"]))));
}

#[test]
fn the_inventory_knows_the_catalogue() {
    let mut known = homectl::inventory::CATALOGUE;
    known.sort_unstable();
    assert_eq!(homectl::addons::catalogue(), known);
}

#[test]
fn steps_in_their_order() {
    let mut cluster = cluster(&["attic", "cellar"]);
    let mut media = own("media", include_str!("media.yaml"));
    media.needs = vec!["local-storage".into()];
    cluster.addons.push(media);
    golden("steps.txt", &listed(&steps(&cluster, &secrets(), &Owned::default(), &|_| true).unwrap()));
}

#[test]
fn a_node_that_is_off_has_no_step() {
    let steps = steps(&cluster(&["attic", "cellar"]), &secrets(), &Owned::default(), &|node| node == "attic").unwrap();
    let names: Vec<&str> = steps.iter().map(|s| s.id.name.as_str()).collect();
    assert_eq!(names, ["bootstrap", "coredns", "local-storage", "metrics-server", "node-attic"]);
}

#[test]
fn the_catalogue_is_hardened() {
    for cluster in [cluster(&["attic"]), cluster(&["attic", "cellar", "garage"])] {
        let found: Vec<String> = all(&cluster).iter().flat_map(|b| &b.objects).flat_map(problems).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn every_object_says_whose_it_is() {
    for bundle in all(&cluster(&["attic"])) {
        for object in bundle.objects.iter().filter(|o| o.kind != "Node") {
            let labels = &object.manifest["metadata"]["labels"];
            assert_eq!(labels[MANAGED_BY], "homectl", "{object}");
            assert_eq!(labels[ADDON], bundle.name.as_str(), "{object}");
        }
    }
}

#[test]
fn the_lint_finds_what_it_looks_for() {
    let bad = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a, namespace: b}\nspec: {template: {spec: {hostNetwork: true, containers: [{name: a, image: a}]}}}\n";
    let mut cluster = cluster(&["attic"]);
    cluster.addons = vec![own("bad", bad)];
    let object = all(&cluster).into_iter().find(|b| b.name == "bad").unwrap().objects.remove(0);
    let found = problems(&object).join("\n");
    for what in ["may run as root", "host's namespaces", "no pinned image", "no requests or limits", "keeps capabilities"] {
        assert!(found.contains(what), "{what} not in {found}");
    }
}

#[test]
fn dns_has_two_pods_where_two_machines_take_them() {
    let replicas = |cluster: &Cluster| {
        let all = all(cluster);
        let found = all.iter().flat_map(|b| &b.objects).find(|o| o.kind == "Deployment" && o.name == "coredns");
        found.unwrap().manifest["spec"]["replicas"].clone()
    };
    assert_eq!(replicas(&cluster(&["attic"])), 1);
    let mut two = cluster(&["attic", "cellar"]);
    two.nodes[0].machine.workloads = false;
    assert_eq!(replicas(&two), 2, "the control plane's own taint is tolerated");
    two.nodes[1].machine.taints = vec![Taint { key: "gpu".into(), value: String::new(), effect: "NoSchedule".into() }];
    assert_eq!(replicas(&two), 1, "the user's is not");
}

#[test]
fn mistakes_of_the_user_are_told() {
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let table = [
        (vec![catalogue("metrics")], "the catalogue has no add-on metrics"),
        (vec![own("bootstrap", yaml)], "an add-on may not be called bootstrap: homectl uses that name itself"),
        (vec![own("node-attic", yaml)], "an add-on may not be called node-attic: homectl uses that name itself"),
        (vec![own("a", yaml), own("b", yaml)], "ConfigMap default/a is in a and in b"),
        (vec![own("a", &format!("{yaml}---\n{yaml}"))], "ConfigMap default/a is twice in a"),
        (vec![own("a", "kind: [")], "a/all.yaml, document 1, line 1: this YAML cannot be read"),
    ];
    for (addons, expected) in table {
        let mut cluster = cluster(&["attic"]);
        cluster.addons = addons;
        if ["ConfigMap", "a/all.yaml"].iter().any(|own| expected.starts_with(own)) {
            assert_eq!(check(&cluster.addons, &cluster.home).unwrap_err().what(), expected, "told before there is a cluster");
        }
        let failure = bundles(&cluster, &secrets(), &Memory::new()).unwrap_err();
        assert_eq!((failure.what(), failure.exit_code()), (expected, 65));
    }
}

#[test]
fn no_secret_in_what_is_shown() {
    let (cluster, secrets) = (cluster(&["attic"]), secrets());
    let all = steps(&cluster, &secrets, &Owned::default(), &|_| true).unwrap();
    let key = data_encoding::BASE64.encode(secrets.leaf("cluster", "metrics-server").unwrap().key.expose().as_bytes());
    let shown = format!("{all:?}{}", shown(&bundles(&cluster, &secrets, &Memory::new()).unwrap()));
    assert!(!shown.contains(&key) && !shown.contains("PRIVATE KEY"));
    let carried = all.iter().flat_map(|s| &s.wants).any(|w| matches!(w, Want::Object(o) if o.manifest.to_string().contains(&key)));
    assert!(carried, "the key is in the plan's value, where it has to be");
}
