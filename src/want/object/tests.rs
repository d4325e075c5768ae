use super::*;
use serde_json::json;

fn object(kind: &str, manifest: Value) -> Object {
    Object {
        addon: "x".into(),
        api_version: "v1".into(),
        kind: kind.into(),
        namespace: "a".into(),
        name: "b".into(),
        manifest,
        present: true,
        certificate: None,
    }
}

fn told(v: &Verdict) -> String {
    match v {
        Verdict::Settled(w) => format!("settled: {w}"),
        Verdict::Change(c) => format!("{} {} {}", c.act.glyph(), c.why, c.lines.join("|")),
        Verdict::Deferred { why, .. } => format!("deferred: {why}"),
        Verdict::Blocked { why, .. } => format!("blocked: {why}"),
    }
}

fn managed(mut live: Value, fields: &Value) -> Value {
    live["metadata"]["managedFields"] = json!([{"manager": "homectl", "operation": "Apply", "fieldsV1": fields}]);
    live
}

#[test]
fn table() {
    let want = object("ConfigMap", json!({"kind": "ConfigMap", "data": {"k": "v"}}));
    let same = managed(json!({"kind": "ConfigMap", "data": {"k": "v"}}), &json!({"f:data": {"f:k": {}}}));
    let other = managed(json!({"kind": "ConfigMap", "data": {"k": "w"}}), &json!({"f:data": {"f:k": {}}}));
    let more = managed(json!({"kind": "ConfigMap", "data": {"k": "v", "l": "x"}}), &json!({"f:data": {"f:k": {}, "f:l": {}}}));
    let mut dying = same.clone();
    dying["metadata"]["deletionTimestamp"] = json!("2026-11-21T10:00:00Z");
    let table = [
        (Seen::NoApi("no API yet".into()), "deferred: no API yet"),
        (Seen::Object(Some(same.clone())), "settled: every field as wanted"),
        (Seen::Object(Some(other.clone())), "~ fields differ data.k: \"w\" → \"v\""),
        (Seen::Object(Some(more.clone())), "~ fields differ data.l: dropped"),
        (Seen::Object(Some(dying)), "blocked: ConfigMap a/b is being deleted"),
        (Seen::Applied { live: same.clone(), after: same.clone() }, "settled: the API says that applying it changes nothing"),
        (Seen::Refused("data.k: nonsense".into()), "blocked: the API would refuse ConfigMap a/b: data.k: nonsense"),
    ];
    for (seen, expected) in table {
        assert_eq!(told(&want.diff(&seen)), expected);
    }
    let applied = told(&want.diff(&Seen::Applied { live: other, after: same }));
    assert!(applied.contains("-  k: w|+  k: v"), "{applied}");
    assert!(want.suspects(&more), "a dropped field asks for a dry run");
}

#[test]
fn absent_says_how_much_it_hurts() {
    let gone = |kind: &str| Object { present: false, ..object(kind, json!({})) };
    let live = Seen::Object(Some(json!({})));
    let Verdict::Change(c) = gone("Namespace").diff(&live) else { panic!("a change") };
    assert_eq!((c.act, c.impact), (Act::Delete, Impact::Irreversible));
    let Verdict::Change(c) = gone("Deployment").diff(&live) else { panic!("a change") };
    assert_eq!(c.impact, Impact::Disruptive);
    assert_eq!(told(&gone("Deployment").diff(&Seen::Object(None))), "settled: absent");
    assert!(object("Node", json!({})).absent().is_none());
}

#[test]
fn secrets_are_not_in_any_line() {
    let hidden = "c3VwZXItc2VjcmV0";
    let want = object("Secret", json!({"kind": "Secret", "data": {"key": hidden}}));
    let live = json!({"kind": "Secret", "data": {"key": "b3RoZXItc2VjcmV0"},
        "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "b3RoZXItc2VjcmV0"}}});
    let all = [
        Seen::Object(None),
        Seen::Object(Some(live.clone())),
        Seen::Applied { live, after: want.manifest.clone() },
        Seen::NoApi("no API yet".into()),
    ];
    for seen in all {
        let verdict = want.diff(&seen);
        let lines = verdict.change().expect("a change").lines.join("\n");
        assert!(lines.contains("sha256 "), "{lines}");
        let shown = format!("{verdict:?}{lines}");
        assert!(!shown.contains(hidden) && !shown.contains("b3RoZXItc2VjcmV0"), "{shown}");
    }
}

#[test]
fn a_node_is_never_made() {
    let want = object("Node", json!({"kind": "Node", "metadata": {"labels": {"a": "b"}}}));
    assert!(told(&want.diff(&Seen::Object(None))).starts_with("deferred: the node registers itself"));
}
