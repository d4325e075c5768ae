//! Nodes are emptied and given back, against a real API server. No kubelet ends the pods there: those without a grace period go at once.

use crate::fixture::secrets;
use crate::server::Server;
use homectl::kube::{Api, ApiError, Asking, Away, Lodged, Replicas, silent};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A pod on `attic`, of a set unless it is bare.
fn pod(name: &str, owner: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}{owner}}}\n\
         spec: {{nodeName: attic, terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, \
         tolerations: [{{operator: Exists}}], containers: [{{name: x, image: x}}]}}\n"
    )
}

fn owned(kind: &str) -> String {
    format!(
        ", ownerReferences: [{{apiVersion: apps/v1, kind: {kind}, name: set, uid: 6c9d1c8e-0000-4000-8000-000000000000, controller: true}}]"
    )
}

const BUDGET: &str = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: keep}\n\
    spec: {maxUnavailable: 0, selector: {matchLabels: {app: kept}}}\n";
/// Without its controller, nobody makes the account that pods run as.
const ACCOUNT: &str = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n---\n";
const NODE: &str = "apiVersion: v1\nkind: Node\nmetadata: {name: attic}\n";

fn unschedulable(server: &Server) -> String {
    server.kubectl(&["get", "node", "attic", "-o", "jsonpath={.spec.unschedulable} {.metadata.annotations}"], "")
}

fn allow(server: &Server, n: u8) {
    let patch = format!(
        "{{\"status\":{{\"disruptionsAllowed\":{n},\"observedGeneration\":1,\"currentHealthy\":1,\"desiredHealthy\":1,\"expectedPods\":1}}}}"
    );
    server.kubectl(&["patch", "pdb", "keep", "--subresource=status", "--type=merge", "-p", &patch], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_emptied_as_budgets_allow_and_given_back_by_whom_it_was_taken() {
    let secrets = secrets();
    let Some((server, api)) = Server::answering(&secrets).await else { return };
    let all = [ACCOUNT, NODE, &pod("kept", &owned("ReplicaSet")), &pod("light", ""), &pod("daemon", &owned("DaemonSet")), BUDGET].concat();
    server.kubectl(&["create", "-f", "-"], &all);
    allow(&server, 0);
    // Budgets do not count pods that do not run.
    let runs = "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";
    server.kubectl(&["patch", "pod", "kept", "--subresource=status", "--type=merge", "-p", runs], "");

    let leaving = api.leaving(&["attic"], Away::ForAWhile).await.unwrap().remove("attic").unwrap();
    assert_eq!((leaving.pods, leaving.bare), (2, vec!["default/light".to_owned()]));
    assert!(leaving.losses.iter().any(|l| l.starts_with("default/kept: the PodDisruptionBudget keep")), "{:?}", leaving.losses);

    // Whatever a plan knew: what nothing makes anew is not ended, and nothing else is before it is gone.
    let refused = api.drain("attic", &|_| ()).await.unwrap_err();
    assert_eq!(refused, ApiError::Bare { pods: vec!["default/light".into()] });
    let ends = server.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.deletionTimestamp}"], "");
    assert_eq!((ends.trim(), unschedulable(&server).contains("true")), ("", false), "the node takes pods again");
    server.kubectl(&["delete", "pod", "light"], "");
    server.kubectl(&["create", "-f", "-"], &pod("light", &owned("ReplicaSet")));

    let lodged = |all: Vec<Lodged>| all.into_iter().map(|l| format!("{} on {}", l.guest.name(), l.node)).collect::<Vec<_>>();
    assert_eq!(lodged(api.lodged().await.unwrap()), ["default/kept on attic", "default/light on attic"]);
    assert!(silent(&[("here".into(), api.clone())]).await.is_empty(), "a server that is ready answers");

    let heard = Mutex::new(Vec::new());
    let hear = |seen: &str| heard.lock().unwrap().push(seen.to_owned());
    let drained = async {
        api.drain("attic", &hear).await.unwrap();
    };
    let freed = async {
        let left = || server.kubectl(&["get", "pods", "-o", "name"], "");
        while left().contains("light") {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(unschedulable(&server).starts_with("true "), "cordoned while it is emptied");
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(left().lines().collect::<Vec<_>>(), ["pod/daemon", "pod/kept"]);
        allow(&server, 1);
    };
    tokio::join!(drained, freed);
    let heard = heard.into_inner().unwrap();
    assert!(
        heard.iter().any(|l| l.contains("default/kept: The disruption budget keep needs 1 healthy pods and has 1 currently")),
        "{heard:#?}"
    );
    assert_eq!(server.kubectl(&["get", "pods", "-o", "name"], "").trim(), "pod/daemon");

    ready(&server);
    let back = |version: &'static str| give_back(&api, version);
    assert!(tokio::time::timeout(Duration::from_secs(3), back("v1.36.3")).await.is_err(), "the wrong kubelet is waited out");
    back("v1.35.4").await;
    assert!(!unschedulable(&server).contains("true") && !unschedulable(&server).contains("homectl.io"), "{}", unschedulable(&server));

    server.kubectl(&["cordon", "attic"], "");
    api.drain("attic", &|_| ()).await.unwrap();
    back("v1.35.4").await;
    assert!(unschedulable(&server).starts_with("true "), "somebody else cordoned it");

    let slow = pod("slow", &owned("DaemonSet")).replace("PeriodSeconds: 0", "PeriodSeconds: 300");
    let elsewhere = pod("elsewhere", "").replace("nodeName: attic", "nodeName: barn");
    server.kubectl(&["create", "-f", "-"], &[slow, elsewhere].concat());
    server.kubectl(&["delete", "node", "attic"], "");
    api.bury("attic").await.unwrap();
    assert_eq!(server.kubectl(&["get", "pods", "-o", "name"], "").trim(), "pod/elsewhere", "nobody is left to end them");
}

/// Whether it is homectl who keeps pods away, of each node.
async fn ours(api: &Api) -> Vec<bool> {
    api.nodes().await.unwrap().iter().map(|n| n.cordoned_by_us).collect()
}

async fn give_back(api: &Api, version: &str) {
    api.uncordon("attic", Some(version), &|_| ()).await.unwrap();
}

/// A run ended before it gave the node back; somebody did by hand, and cordoned it again for reasons of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_cordon_is_known_by_whoever_made_it_last() {
    let secrets = secrets();
    let Some((server, api)) = Server::answering(&secrets).await else { return };
    // The API keeps who wrote what only where whoever made the object wrote anything: a kubelet does.
    let made = NODE.replace("attic}", "attic, labels: {kubernetes.io/hostname: attic}}");
    server.kubectl(&["create", "-f", "-"], &made);
    ready(&server);
    api.cordon("attic").await.unwrap();
    assert_eq!(ours(&api).await, [true]);
    for by_hand in ["uncordon", "cordon"] {
        server.kubectl(&[by_hand, "attic"], "");
        assert!(unschedulable(&server).contains("homectl.io"), "the mark is still there");
        assert_eq!(ours(&api).await, [false], "after kubectl {by_hand}");
    }
    give_back(&api, "v1.35.4").await;
    assert!(unschedulable(&server).starts_with("true "), "somebody cordoned it after us");
    server.kubectl(&["uncordon", "attic"], "");
    api.cordon("attic").await.unwrap();
    assert_eq!(ours(&api).await, [true]);
    give_back(&api, "v1.35.4").await;
    assert!(!unschedulable(&server).contains("true") && !unschedulable(&server).contains("homectl.io"), "{}", unschedulable(&server));
}

/// What renews its lease is alive, whatever its clock says; what the controllers gave up is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_heard_of_by_its_lease() {
    let secrets = secrets();
    let Some((server, api)) = Server::answering(&secrets).await else { return };
    let heard = || api.is_heard_of("attic", &|| ());
    assert!(!heard().await.unwrap(), "there is no such node");
    let lease = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: kube-node-lease}\n---\napiVersion: coordination.k8s.io/v1\n\
        kind: Lease\nmetadata: {name: attic, namespace: kube-node-lease}\nspec: {renewTime: \"2020-01-01T00:00:00.000000Z\"}\n";
    // One that is Ready and has no lease yet is about to get one.
    server.kubectl(&["apply", "-f", "-"], NODE);
    ready(&server);
    let comes = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        server.kubectl(&["apply", "-f", "-"], lease);
    };
    let (alive, ()) = tokio::join!(heard(), comes);
    assert!(alive.unwrap());
    let renewed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let patch = "{\"spec\":{\"renewTime\":\"2020-01-01T00:00:10.000000Z\"}}";
        server.kubectl(&["patch", "lease", "attic", "-n", "kube-node-lease", "--type=merge", "-p", patch], "");
    };
    let (alive, ()) = tokio::join!(heard(), renewed);
    assert!(alive.unwrap());
    let given_up = "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"Unknown\"}]}}";
    server.kubectl(&["patch", "node", "attic", "--subresource=status", "--type=merge", "-p", given_up], "");
    assert!(!heard().await.unwrap());
}

fn ready(server: &Server) {
    let status = "{\"status\":{\"nodeInfo\":{\"kubeletVersion\":\"v1.35.4\",\"architecture\":\"\",\"bootID\":\"\",\"containerRuntimeVersion\":\"\",\
        \"kernelVersion\":\"\",\"kubeProxyVersion\":\"\",\"machineID\":\"\",\"operatingSystem\":\"\",\"osImage\":\"\",\"systemUUID\":\"\"},\
        \"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}";
    server.kubectl(&["patch", "node", "attic", "--subresource=status", "--type=merge", "-p", status], "");
}

const PAGE: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: page}\nspec: {replicas: 2, selector: {matchLabels: {app: page}}, \
    template: {metadata: {labels: {app: page}}, spec: {containers: [{name: x, image: x}]}}}\n";

/// What is short of pods is seen, and a server that goes away is missed from then on.
#[tokio::test(flavor = "multi_thread")]
async fn workloads_are_counted_and_ways_are_asked() {
    let secrets = secrets();
    let Some((server, api)) = Server::answering(&secrets).await else { return };
    server.kubectl(&["create", "-f", "-"], PAGE);
    let told = api.replicas().await.unwrap();
    assert_eq!(told, [Replicas { workload: "Deployment default/page".into(), wanted: 2, ready: 0 }]);
    let asking = Asking::begin(&[("here".into(), api.clone())]);
    let since = Instant::now();
    while !asking.answered("here", since) {
        assert!(since.elapsed() < Duration::from_secs(20), "it answers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(server);
    let gone = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!asking.answered("here", gone + Duration::from_millis(500)));
    let told = asking.end().remove(0);
    assert!(told.asked > 8 && told.failed > 0 && told.failed < told.asked && told.longest >= Duration::from_millis(1500), "{told:?}");
    assert!(told.failure.is_some());
}
