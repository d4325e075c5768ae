use super::fixture::{change, item, mixed, plan, run, step};
use crate::report::tally::Tally;
use crate::report::{json, plan_text};
use crate::steps::{StepId, snapshot_before};
use crate::want::{Act, Change, Impact, Seats, Verdict};
use serde_json::json;

#[test]
fn items_carry_verdict_act_and_why() {
    let doc = json::plan(&mixed());
    assert_eq!(doc["format"], 1);
    assert_eq!(doc["cluster"], "home");
    assert_eq!(doc["mode"], "present");
    let etcd = &doc["steps"][3];
    assert_eq!(etcd["id"], json!({ "lane": { "node": "attic" }, "name": "etcd" }));
    assert_eq!(etcd["ready"], json!({ "what": "etcd answers /health", "deadline": 120 }));
    assert_eq!(
        etcd["items"][0],
        json!({
            "addr": "file:/etc/systemd/system/etcd.service", "verdict": "change", "act": "update",
            "why": "mode 0600, wanted 0644", "lines": [], "impact": { "kind": "restart", "units": ["etcd.service"] },
        })
    );
    let deferred = &doc["steps"][2]["items"][0];
    assert_eq!((&deferred["verdict"], &deferred["until"]), (&json!("deferred"), &json!("there is no API yet")));
    assert_eq!(doc["steps"][2]["id"]["lane"], "cluster");
    assert_eq!(doc["offline"], json!([{ "node": "cabin", "seen": "connection timed out after 10 s" }]));
}

#[test]
fn counts_add_up_over_lanes_and_agree_with_the_text() {
    let doc = json::plan(&mixed());
    for key in ["create", "update", "delete", "run", "deferred", "blocked", "settled", "changes"] {
        let lanes: u64 = doc["lanes"].as_array().unwrap().iter().map(|l| l["counts"][key].as_u64().unwrap()).sum();
        assert_eq!(doc["counts"][key], lanes, "{key}");
    }
    let text = plan_text(&mixed(), false, false);
    assert!(text.contains(&format!("{} to update", doc["counts"]["update"])), "{text}");
    let order: Vec<String> = doc["lanes"].as_array().unwrap().iter().map(|l| l["lane"].to_string()).collect();
    assert_eq!(order, [r#"{"node":"attic"}"#, r#"{"node":"barn"}"#, r#""cluster""#]);
}

#[test]
fn a_run_tells_what_became_of_each_lane() {
    let mut tally = Tally::default();
    for event in run() {
        tally.hear(&event);
    }
    let doc = json::run(&mixed(), &tally);
    assert_eq!(doc["run"]["finished"], json!({ "changed": 1, "failed": 1, "skipped": 1, "seconds": 30.2 }));
    assert_eq!(doc["run"]["lanes"][0]["lane"], json!({ "node": "attic" }));
    assert_eq!(doc["run"]["lanes"][0]["changed"], 1);
    assert_eq!(doc["run"]["failures"][0]["evidence"], json!(["journal: bind: address in use"]));
    assert_eq!(doc["run"]["skipped"][0]["why"], "etcd@attic failed");
}

#[test]
fn events_have_a_type_and_a_time() {
    let lines: Vec<_> = run().iter().map(json::event).collect();
    assert_eq!(lines[0], json!({ "at": 0.1, "type": "connected", "node": "attic" }));
    assert_eq!(lines[11]["type"], "step-ended");
    assert_eq!(lines[11]["outcome"]["outcome"], "skipped");
}

/// What `docs/plan.schema.json` says of a plan.
fn schema() -> jsonschema::Validator {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut schema: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root.join("docs/plan.schema.json")).unwrap()).unwrap();
    schema["$ref"] = "#/$defs/plan".into();
    for key in ["required", "properties", "additionalProperties"] {
        schema.as_object_mut().unwrap().remove(key);
    }
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn plans_of_every_verb_fit_the_schema() {
    let drain = Seats::Drain { node: "barn".into() }.change("2 pods move").lines(vec!["media/tv: its only replica".to_owned()]);
    let back = Seats::Uncordon { node: "barn".into(), version: Some("v1.36.3".into()) }.change("once its kubelet is Ready");
    let gone = change(Act::Run, "attic is no member of etcd", &[]).impact(Impact::Irreversible);
    let moving =
        |name: &str, change: Change| step(StepId::cluster(name), name, vec![item(&format!("{name}:barn"), Verdict::Change(change))]);
    let steps = vec![
        step(
            StepId::node("attic", "snapshot-before"),
            "a snapshot",
            vec![item("snapshot:before", Verdict::Change(snapshot_before("first")))],
        ),
        step(StepId::node("attic", "etcd-dismissal"), "etcd goes on", vec![item("etcd:without:1a", Verdict::Change(gone))]),
        moving("drain", drain),
        moving("uncordon", back),
    ];
    let schema = schema();
    for plan in [plan(steps), mixed()] {
        let doc = json::plan(&plan);
        let errors: Vec<String> = schema.iter_errors(&doc).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
