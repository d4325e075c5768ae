//! Everything together against a real API server: after applying, a look says that nothing is left to do.

use crate::fixture::{cluster, own, secrets};
use crate::pki::now;
use crate::server::{Server, client};
use homectl::addons::{INVENTORY, Memory, Survey, apply, bundles, look, steps, survey};
use homectl::cluster::{Cluster, Taint};
use homectl::kube::{Api, Condition, Resource};
use homectl::pki::{issue, leaves};
use homectl::secrets::{Pair, Secrets};
use homectl::steps::renewed;
use homectl::want::{Object, Run, Seen, Verdict, Want};
use std::time::Duration;

/// One cluster's inventory and its API.
struct World {
    server: Server,
    api: Api,
    cluster: Cluster,
    secrets: Secrets,
    /// Certificates that were made before are to be made anew.
    since: Option<i64>,
}

impl World {
    async fn start(names: &[&str]) -> Option<Self> {
        let secrets = secrets();
        let server = Server::start(&secrets)?;
        let api = client(&[server.port], &secrets);
        server.ready(&api).await;
        Some(Self { server, api, cluster: cluster(names), secrets, since: None })
    }

    async fn survey(&self) -> Survey {
        survey(&self.api, &self.cluster, &self.secrets, self.since).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// The plan: every want in the API with its verdict.
    async fn plan(&self) -> Vec<(Want, Verdict)> {
        let survey = self.survey().await;
        let mut steps = steps(&self.cluster, &self.secrets, &survey.owned, &|_| true).unwrap();
        self.since.into_iter().for_each(|since| renewed(&mut steps, since));
        steps.into_iter().flat_map(|s| s.wants).map(|w| (w.clone(), w.diff(survey.of(&w.addr())))).collect()
    }

    /// Does what the plan says, in its order.
    async fn run(&self) {
        for (want, verdict) in self.plan().await {
            assert!(!matches!(verdict, Verdict::Blocked { .. }), "{}: {verdict:?}", want.addr());
            if let Some(Run::Api(object, present)) = verdict.change().map(|c| &c.run) {
                apply(&self.api, object, *present).await.unwrap_or_else(|e| panic!("{e}"));
            }
        }
    }

    /// What the plan would do, one line each, with what is shown.
    async fn changes(&self) -> Vec<String> {
        let plan = self.plan().await;
        plan.iter().filter(|(_, v)| !matches!(v, Verdict::Settled(_))).map(|(w, v)| told(w, v)).collect()
    }

    async fn run_until_settled(&self) {
        self.run().await;
        assert_eq!(self.changes().await, Vec::<String>::new(), "a second run must find nothing to do");
    }
}

fn told(want: &Want, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Settled(why) => format!("= {} {why}", want.addr()),
        Verdict::Change(c) => format!("{} {} ({}) {}", c.act.glyph(), want.addr(), c.why, c.lines.join("|")),
        Verdict::Deferred { why, .. } => format!("? {} {why}", want.addr()),
        Verdict::Blocked { why, .. } => format!("x {} {why}", want.addr()),
    }
}

/// As kubelets register them: with labels of the inventory, taints, and labels of their own.
const NODES: &str = "\
apiVersion: v1
kind: Node
metadata: {name: attic, labels: {theirs: stays}}
spec: {taints: [{key: node.cloudprovider.kubernetes.io/uninitialized, effect: NoSchedule}]}
---
apiVersion: v1
kind: Node
metadata: {name: cellar, labels: {example.net/gpu: intel}}
";

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_and_a_users_own_settle() {
    let Some(mut w) = World::start(&["attic", "cellar"]).await else { return };
    w.cluster.addons.push(own("media", include_str!("media.yaml")));
    w.cluster.nodes[0].machine.workloads = false;
    w.cluster.nodes[1].machine.labels.insert("example.net/gpu".into(), "intel".into());
    w.cluster.nodes[1].machine.taints = vec![Taint { key: "gpu".into(), value: "yes".into(), effect: "PreferNoSchedule".into() }];

    let fresh = w.changes().await;
    assert!(fresh.iter().any(|l| l.starts_with("? object:v1:Node:attic the node registers itself")), "{fresh:#?}");
    assert!(fresh.iter().any(|l| l.starts_with("? object:example.net/v1:Library") && l.contains("does not serve")), "{fresh:#?}");
    assert!(!fresh.join("\n").contains("ZG8tbm90LXNob3ctbWU"), "no secret in a plan");

    w.server.kubectl(&["apply", "-f", "-"], NODES);
    w.run_until_settled().await;

    let before = w.api.counters();
    w.survey().await;
    let after = w.api.counters();
    let (requests, down) = (after.requests - before.requests, after.down - before.down);
    assert!(requests <= 30, "a settled look costs one list a kind, not one request an object: {requests}");
    assert!(down < 300_000, "{down} bytes");

    drift_is_seen_and_mended(&w).await;
    one_object_again(&w).await;
    nodes_keep_what_is_not_ours(&mut w).await;
    a_definition_and_its_objects_change_together(&mut w).await;
    a_renewed_certificate_stays(&mut w).await;
    what_the_api_refuses_blocks(&mut w).await;
    what_others_made_is_taken_over(&mut w).await;
    waiting_says_what_is_seen(&w).await;
    pods_pass_the_restricted_profile(&w).await;
    what_was_remembered_is_not_forgotten(&w).await;
    dropped_add_ons_are_pruned(&mut w).await;
}

async fn drift_is_seen_and_mended(w: &World) {
    w.server.kubectl(&["-n", "kube-system", "scale", "deployment/coredns", "--replicas=5"], "");
    w.server.kubectl(&["-n", "kube-system", "patch", "configmap/coredns", "-p", "{\"data\": {\"theirs\": \"stays\"}}"], "");
    w.server.kubectl(&["-n", "kube-system", "delete", "service/kube-dns"], "");
    w.server.kubectl(&["-n", "media", "patch", "secret/keys", "-p", "{\"data\": {\"token\": \"aGFja2Vk\"}}"], "");
    let changes = w.changes().await;
    assert_eq!(changes.len(), 3, "{changes:#?}");
    assert!(changes[0].starts_with("+ object:v1:Service:kube-system/kube-dns (missing)"), "{}", changes[0]);
    assert!(changes[1].contains("-  replicas: 5|+  replicas: 2"), "{}", changes[1]);
    assert!(changes[2].contains("token: sha256") && !changes[2].contains("aGFja2Vk"), "{}", changes[2]);
    w.run_until_settled().await;
    let kept = w.server.kubectl(&["-n", "kube-system", "get", "configmap/coredns", "-o", "jsonpath={.data.theirs}"], "");
    assert_eq!(kept, "stays", "a key of somebody else's is not ours to remove");
}

async fn nodes_keep_what_is_not_ours(w: &mut World) {
    let labels = |w: &World| {
        w.server.kubectl(&["get", "nodes", "-o", "jsonpath={range .items[*]}{.metadata.labels}{.spec.taints}{\"\\n\"}{end}"], "")
    };
    let seen = labels(w);
    for what in [
        "\"theirs\":\"stays\"",
        "node-role.kubernetes.io/control-plane",
        "uninitialized",
        "\"example.net/gpu\":\"intel\"",
        "PreferNoSchedule",
    ] {
        assert!(seen.contains(what), "{what} not in {seen}");
    }
    w.cluster.nodes[0].machine.workloads = true;
    w.cluster.nodes[1].machine.labels.clear();
    w.cluster.nodes[1].machine.taints.clear();
    w.server.kubectl(&["taint", "node", "cellar", "noisy=yes:NoExecute"], "");
    let changes = w.changes().await.join("\n");
    assert!(changes.contains("-taint node-role.kubernetes.io/control-plane:NoSchedule"), "{changes}");
    assert!(changes.contains("-taint gpu=yes:PreferNoSchedule") && changes.contains("example.net/gpu"), "{changes}");
    w.run_until_settled().await;
    let seen = labels(w);
    for what in ["\"theirs\":\"stays\"", "uninitialized", "noisy"] {
        assert!(seen.contains(what), "{what} not in {seen}");
    }
    for what in ["intel", "PreferNoSchedule", "homectl.io"] {
        assert!(!seen.contains(what), "{what} still in {seen}");
    }
}

async fn a_definition_and_its_objects_change_together(w: &mut World) {
    let both = include_str!("media.yaml")
        .replace("                path: {type: string}\n", "                path: {type: string}\n                year: {type: integer}\n")
        .replace("  path: /films\n", "  path: /films\n  year: 1927\n");
    w.cluster.addons.pop();
    w.cluster.addons.push(own("media", &both));
    let changes = w.changes().await;
    assert!(changes.len() == 2 && changes[1].starts_with("~ object:example.net/v1:Library:media/films (fields differ)"), "{changes:#?}");
    w.run_until_settled().await;
    w.cluster.addons.pop();
    w.cluster.addons.push(own("media", include_str!("media.yaml")));
    let changes = w.changes().await;
    assert!(changes.iter().any(|l| l.contains("-  year: 1927") || l.contains("spec.year: dropped")), "{changes:#?}");
    w.run_until_settled().await;
}

async fn a_renewed_certificate_stays(w: &mut World) {
    let spec = leaves(&w.cluster).into_iter().find(|l| l.name == "metrics-server").unwrap().spec;
    let another = issue(&w.secrets.cluster_ca, &spec, now()).unwrap();
    let foreign = issue(&w.secrets.etcd_ca, &spec, now()).unwrap();
    let put = |w: &World, pair: &Pair| {
        let encoded = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
        let data = serde_json::json!({"data": {"tls.crt": encoded(&pair.cert), "tls.key": encoded(pair.key.expose())}});
        w.server.kubectl(&["-n", "kube-system", "patch", "secret/metrics-server-serving", "-p", &data.to_string()], "");
    };
    put(w, &another);
    assert_eq!(w.changes().await, Vec::<String>::new(), "the cluster renews its own");
    w.server.kubectl(&["-n", "kube-system", "label", "secret/metrics-server-serving", "homectl.io/addon=x", "--overwrite"], "");
    w.run_until_settled().await;
    let live = w.server.kubectl(&["-n", "kube-system", "get", "secret/metrics-server-serving", "-o", "jsonpath={.data.tls\\.crt}"], "");
    assert_eq!(live, data_encoding::BASE64.encode(another.cert.as_bytes()), "nor is it put back with something else");
    w.since = Some(now() - 3600);
    put(w, &issue(&w.secrets.cluster_ca, &spec, now() - 86_400).unwrap());
    assert_eq!(w.changes().await.len(), 1, "all anew, and this one is a day old");
    w.run_until_settled().await;
    w.since = None;
    put(w, &foreign);
    assert_eq!(w.changes().await.len(), 1);
    w.run_until_settled().await;
}

async fn what_the_api_refuses_blocks(w: &mut World) {
    let selector = include_str!("media.yaml").replace("matchLabels: {app: player}\n  template", "matchLabels: {app: other}\n  template");
    let misspelt = include_str!("media.yaml").replace("path: /films", "pathh: /films").replace("containerPort: 8096", "containerPrt: 8096");
    let misspelt = misspelt + "---\napiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: media}\nspec: {prots: []}\n";
    let good = w.cluster.addons.pop().unwrap();
    w.cluster.addons.push(own("media", &selector));
    let changes = w.changes().await.join("\n");
    assert!(changes.contains("x object:apps/v1:Deployment:media/player the API would refuse Deployment media/player"), "{changes}");
    w.cluster.addons.pop();
    w.cluster.addons.push(own("media", &misspelt));
    let changes = w.changes().await.join("\n");
    assert!(changes.contains("x object:apps/v1:Deployment:media/player") && changes.contains("containerPrt"), "{changes}");
    assert!(changes.contains("x object:example.net/v1:Library:media/films") && changes.contains("pathh"), "{changes}");
    assert!(changes.contains("x object:v1:Service:media/new") && changes.contains("prots"), "{changes}");
    w.cluster.addons.pop();
    w.cluster.addons.push(good);
    assert_eq!(w.changes().await, Vec::<String>::new(), "asking changed nothing");
}

async fn what_others_made_is_taken_over(w: &mut World) {
    w.server.kubectl(&["create", "configmap", "notes", "--from-literal=a=theirs", "--from-literal=b=kept"], "");
    w.cluster.addons.push(own("notes", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {a: ours}\n"));
    let changes = w.changes().await.join("\n");
    assert!(changes.contains("~ object:v1:ConfigMap:default/notes (exists, but not by homectl: taken over)"), "{changes}");
    assert!(changes.contains("-  a: theirs|+  a: ours"), "{changes}");
    w.run_until_settled().await;
}

async fn waiting_says_what_is_seen(w: &World) {
    let deployment = Condition::DeploymentAvailable { namespace: "kube-system".into(), name: "coredns".into() };
    let service = Condition::ApiServiceAvailable { name: "v1beta1.metrics.k8s.io".into() };
    let established = Condition::CrdEstablished { name: "libraries.example.net".into() };
    let seen = w.api.wait(&[deployment.clone(), service, established], Duration::from_secs(4), &mut |_| ()).await.unwrap_err();
    let text = format!("{seen:?}");
    assert_eq!(seen.len(), 2, "the definition is served: {text}");
    assert!(text.contains("0 of 2 pods available"), "{text}");
    assert!(text.contains("MissingEndpoints"), "{text}");
    let nodes = w.api.lacks(&Condition::NodesReady { names: vec!["attic".into(), "shed".into()] }).await.unwrap().unwrap();
    assert!(nodes.contains("shed has not registered"), "{nodes}");
    assert_eq!(w.api.version().await.unwrap(), "v1.36.3");
    assert_eq!(w.api.nodes().await.unwrap().iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["attic", "cellar"]);
}

/// The admission controller itself judges the catalogue's pods.
async fn pods_pass_the_restricted_profile(w: &World) {
    w.server.kubectl(&["create", "namespace", "strict"], "");
    w.server.kubectl(&["label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted"], "");
    w.server.kubectl(&["-n", "strict", "create", "serviceaccount", "any"], "");
    let pods = Resource::builtin("v1", "Pod").unwrap();
    let plan = w.plan().await;
    let deployments = plan.iter().filter_map(|(want, _)| match want {
        Want::Object(o) if o.kind == "Deployment" && o.addon != "media" => Some(o),
        _ => None,
    });
    let mut judged = 0;
    for object in deployments {
        let mut spec = object.manifest["spec"]["template"]["spec"].clone();
        spec["serviceAccountName"] = "any".into();
        let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "try", "namespace": "strict"}, "spec": spec});
        w.api.try_apply(&pods, &pod).await.unwrap_or_else(|e| panic!("{object}: {e}"));
        judged += 1;
    }
    assert_eq!(judged, 3);
}

/// A plan made while the API was away knows nothing of kinds that earlier runs made.
async fn what_was_remembered_is_not_forgotten(w: &World) {
    let fewer = bundles(&cluster(&[]), &w.secrets, &Memory::new()).unwrap().remove(0).objects.remove(0);
    assert_eq!(fewer.name, INVENTORY);
    apply(&w.api, &fewer, true).await.unwrap();
    let kinds = w.server.kubectl(&["-n", "kube-system", "get", "configmap", INVENTORY, "-o", "jsonpath={.data.kinds}"], "");
    assert!(kinds.contains("Library.example.net") && kinds.contains("Deployment.apps"), "{kinds}");
    assert_eq!(w.changes().await, Vec::<String>::new());
}

async fn dropped_add_ons_are_pruned(w: &mut World) {
    // Controllers copy labels from ours to theirs: such copies are never ours.
    w.server.kubectl(
        &["-n", "media", "create", "-f", "-"],
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: copy, labels: {homectl.io/addon: media}}\n",
    );
    w.cluster.addons.retain(|a| a.name != "media" && a.name != "metrics-server" && a.name != "local-storage");
    let changes = w.changes().await;
    let first = changes.first().unwrap();
    assert!(first.starts_with("- object:admissionregistration.k8s.io/v1:ValidatingWebhookConfiguration:media.example.net"), "{changes:#?}");
    let place = |what: &str| changes.iter().position(|l| l.contains(what)).unwrap_or_else(|| panic!("{what} not in {changes:#?}"));
    assert!(place("APIService") < place("metrics-server (") && place("Library") < place("libraries.example.net"), "{changes:#?}");
    assert!(place("ServiceAccount:local-storage") < place("object:v1:Namespace:local-storage"), "{changes:#?}");
    assert!(!changes.iter().any(|l| l.contains("copy") || l.contains("EndpointSlice")), "{changes:#?}");
    w.run_until_settled().await;
    let left = w.server.kubectl(&["get", "namespaces,deployments,apiservices", "-A", "-o", "name"], "");
    assert!(!left.contains("media") && !left.contains("local-storage") && !left.contains("metrics"), "{left}");
    assert!(left.contains("deployment.apps/coredns"), "{left}");
}

/// The one object of an add-on.
fn object(w: &World, text: &str) -> Object {
    let mut cluster = w.cluster.clone();
    cluster.addons = vec![own("x", text)];
    let all = bundles(&cluster, &w.secrets, &Memory::new()).unwrap();
    all.into_iter().find(|b| b.name == "x").unwrap().objects.remove(0)
}

async fn one_object_again(w: &World) {
    let map = object(w, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n");
    let gone = Object { present: false, ..map.clone() };
    assert_eq!(look(&w.api, &[&map]).await.unwrap(), [Seen::Object(None)]);
    apply(&w.api, &map, true).await.unwrap();
    apply(&w.api, &map, true).await.unwrap();
    let version = w.server.kubectl(&["get", "configmap/a", "-o", "jsonpath={.metadata.resourceVersion}"], "");
    apply(&w.api, &map, true).await.unwrap();
    assert_eq!(w.server.kubectl(&["get", "configmap/a", "-o", "jsonpath={.metadata.resourceVersion}"], ""), version, "nothing was written");
    apply(&w.api, &gone, false).await.unwrap();
    apply(&w.api, &gone, false).await.unwrap();

    let lost = object(w, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: nowhere}\n");
    let e = apply(&w.api, &lost, true).await.unwrap_err().to_string();
    assert!(e.contains("ConfigMap nowhere/a (add-on x) was not applied") && e.contains("help: add a Namespace nowhere"), "{e}");
}
