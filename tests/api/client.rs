//! The client against a server that misbehaves.

use crate::fake::{Answer, Fake, Request};
use crate::fixture::secrets;
use crate::server::client;
use homectl::kube::{ApiError, Condition, Propagation, Resource};
use serde_json::{Value, json};
use std::net::TcpListener;

/// What it is called, and how the server does it.
type Trouble = (&'static str, fn() -> Answer);

fn maps() -> Resource {
    Resource::builtin("v1", "ConfigMap").unwrap()
}

fn map() -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b"}, "data": {"k": "v"}})
}

fn status(code: u16, reason: &str, message: &str) -> Answer {
    Answer::Json(code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

fn echo(request: &Request, _: usize) -> Answer {
    Answer::Json(200, serde_json::from_str(&request.body).unwrap_or_else(|_| json!({"items": []})))
}

#[tokio::test]
async fn an_apply_is_forced_strict_and_ours() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, echo);
    let api = client(&[fake.port], &secrets);
    assert_eq!(api.apply(&maps(), &map()).await.unwrap(), map());
    api.try_apply(&maps(), &map()).await.unwrap();
    api.merge_patch(&maps(), "b", "a", &json!({"data": {"k": null}})).await.unwrap();
    assert!(api.delete(&maps(), "b", "a", Propagation::Foreground).await.unwrap());
    let path = "/api/v1/namespaces/b/configmaps/a";
    let apply = format!("PATCH {path}?fieldManager=homectl&force=true&fieldValidation=Strict");
    let expected = [apply.clone(), format!("{apply}&dryRun=All"), format!("PATCH {path}?fieldManager=homectl"), format!("DELETE {path}")];
    assert_eq!(fake.lines(), expected);
    let requests = fake.requests();
    let types: Vec<&str> = requests.iter().map(|r| r.content_type.as_str()).collect();
    assert_eq!(types, ["application/apply-patch+yaml", "application/apply-patch+yaml", "application/merge-patch+json", "application/json"]);
    assert!(requests[3].body.contains("\"propagationPolicy\":\"Foreground\""));
    let counters = api.counters();
    assert_eq!(counters.requests, 4);
    assert!(counters.up > 500 && counters.down > 500, "{counters:?}");
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_items_say_what_they_are() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, |r, _| {
        let (name, next) = if r.path.contains("continue") { ("b", "") } else { ("a", "x y&z") };
        Answer::Json(200, json!({"metadata": {"continue": next}, "items": [{"metadata": {"name": name}}]}))
    });
    let api = client(&[fake.port], &secrets);
    let all = api.list(&maps(), "", "homectl.io/addon in (a,b)").await.unwrap();
    assert_eq!(
        all.iter().map(|o| (&o["kind"], &o["metadata"]["name"])).collect::<Vec<_>>(),
        [(&json!("ConfigMap"), &json!("a")), (&json!("ConfigMap"), &json!("b"))]
    );
    let first = "GET /api/v1/configmaps?limit=500&labelSelector=homectl.io%2Faddon+in+%28a%2Cb%29";
    assert_eq!(fake.lines(), [first.to_owned(), format!("{first}&continue=x+y%26z")]);
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let secrets = secrets();
    let table: [Trouble; 4] = [
        ("too many requests", || status(429, "TooManyRequests", "slow down")),
        ("starting", || status(503, "ServiceUnavailable", "not yet")),
        ("no status object", || Answer::Text(502, "bad gateway")),
        ("lost", || Answer::HangUp),
    ];
    for (name, trouble) in table {
        let fake = Fake::start(&secrets, move |r, before| if before < 2 { trouble() } else { echo(r, before) });
        let api = client(&[fake.port], &secrets);
        assert_eq!(api.apply(&maps(), &map()).await.unwrap(), map(), "{name}");
        assert_eq!(fake.requests().len(), 3, "{name}");
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, |_, _| {
        Answer::Json(
            422,
            json!({"kind": "Status", "status": "Failure", "code": 422, "reason": "Invalid", "message": "ConfigMap \"a\" is invalid",
                "details": {"causes": [{"reason": "FieldValueInvalid", "field": "data.k", "message": "too long"}]}}),
        )
    });
    let api = client(&[fake.port], &secrets);
    let error = api.apply(&maps(), &map()).await.unwrap_err();
    assert!(error.is_refusal() && !error.is_transient());
    assert_eq!(error.to_string(), "ConfigMap \"a\" is invalid (422 Invalid)");
    let ApiError::Status { causes, .. } = error else { panic!("a status") };
    assert_eq!((causes.as_slice(), fake.requests().len()), (["data.k: too long".to_owned()].as_slice(), 1));
}

#[tokio::test]
async fn trying_again_has_an_end() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, |_, _| status(503, "ServiceUnavailable", "not yet"));
    let api = client(&[fake.port], &secrets);
    assert!(api.get(&maps(), "b", "a").await.is_err());
    assert_eq!(fake.requests().len(), 6);
}

#[tokio::test]
async fn the_first_ready_control_plane_is_used_and_left_when_it_is_lost() {
    let secrets = secrets();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let unready = Fake::start(&secrets, |_, _| Answer::Text(500, "[-]etcd failed"));
    let dying = Fake::start(&secrets, |r, _| if r.path == "/readyz" { Answer::Text(200, "ok") } else { Answer::HangUp });
    let good = Fake::start(&secrets, echo);
    let ports = [closed, unready.port, dying.port, good.port];
    let api = client(&ports, &secrets);
    assert_eq!(api.ready().await.unwrap(), format!("port-{}", dying.port));
    assert_eq!(api.apply(&maps(), &map()).await.unwrap(), map());
    assert_eq!(api.node(), format!("port-{}", good.port));

    let none = client(&ports[..2], &secrets);
    let error = none.ready().await.unwrap_err().to_string();
    assert!(error.contains(&format!("port-{closed}: ")) && error.contains("[-]etcd failed"), "{error}");
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (ours, theirs) = (secrets(), secrets());
    let fake = Fake::start(&theirs, echo);
    let error = client(&[fake.port], &ours).ready().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    assert!(fake.requests().is_empty());
}

#[tokio::test]
async fn custom_kinds_are_found_by_discovery_asked_once() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, |r, before| {
        let things = json!([{"resource": "things", "responseKind": {"kind": "Thing"}, "scope": "Namespaced", "verbs": ["list"]}]);
        // What the first question does not know, the second does.
        let known = if before < 2 { json!([]) } else { things };
        let items = if r.path == "/apis" {
            json!([{"metadata": {"name": "x.io"}, "versions": [{"version": "v1", "resources": known}]}])
        } else {
            json!([])
        };
        Answer::Json(200, json!({"items": items}))
    });
    let api = client(&[fake.port], &secrets);
    assert!(api.resource("apps/v1", "Deployment").await.unwrap().is_some());
    assert!(fake.requests().is_empty(), "upstream's own kinds are known");
    assert_eq!(api.resource("x.io/v1", "Thing").await.unwrap(), None);
    assert_eq!(api.resource("x.io/v1", "Other").await.unwrap(), None);
    assert_eq!(fake.requests().len(), 2);
    api.forget_discovery();
    assert_eq!(api.resource_of_group("x.io", "Thing").await.unwrap().unwrap().collection("a"), "/apis/x.io/v1/namespaces/a/things");
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test]
async fn waiting_quotes_the_pods() {
    let secrets = secrets();
    let fake = Fake::start(&secrets, |r, _| {
        if r.path.contains("/pods") {
            let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x:1\""}});
            return Answer::Json(
                200,
                json!({"items": [{"metadata": {"name": "web-1"}, "status": {"containerStatuses": [{"state": waiting}]}}]}),
            );
        }
        let spec = json!({"replicas": 1, "selector": {"matchLabels": {"app": "web"}}});
        Answer::Json(200, json!({"metadata": {"name": "web", "namespace": "a"}, "spec": spec, "status": {"updatedReplicas": 1}}))
    });
    let api = client(&[fake.port], &secrets);
    let web = Condition::DeploymentAvailable { namespace: "a".into(), name: "web".into() };
    let mut told = Vec::new();
    let seen = api.wait(&[web], std::time::Duration::from_millis(800), &mut |s| told.push(s.to_owned())).await.unwrap_err();
    assert_eq!(seen[0].1, "0 of 1 pods available, 1 of the current template: web-1 ImagePullBackOff: Back-off pulling image \"x:1\"");
    assert_eq!(told.len(), 1, "the same thing is told once: {told:?}");
    assert!(fake.lines().iter().any(|l| l.ends_with("labelSelector=app%3Dweb")));
}
