//! Whom API servers tell others to trust: they only ever add to it, so what an exchange of authorities leaves there is taken out by us.
//! And pods that trust nobody of today begin again.

use crate::fixture::secrets;
use crate::pki::authority;
use crate::server::Server;
use homectl::kube::{Api, Holder, Resource};
use homectl::pki::{Ca, certificates};
use homectl::secrets::Secrets;
use serde_json::{Value, json};
use std::time::Duration;

const MAP: &str = "configmap/extension-apiserver-authentication";
const KEYS: [(&str, Ca); 2] = [("client-ca-file", Ca::Cluster), ("requestheader-client-ca-file", Ca::FrontProxy)];

struct House {
    server: Server,
    api: Api,
    secrets: Secrets,
}

impl House {
    fn map(&self, args: &[&str]) -> String {
        self.server.kubectl(&[&["-n", "kube-system"], args].concat(), "")
    }

    /// What is told under `key`, once the API server has said so.
    async fn told(&self, key: &str) -> Vec<String> {
        for _ in 0..100 {
            let text = self.map(&["get", MAP, "--ignore-not-found", &format!("-o=jsonpath={{.data.{key}}}")]);
            if !text.is_empty() {
                return certificates(&text);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("{MAP} does not come")
    }

    /// Adds to it, as if it had been told before; the API server writes it anew with what it trusts itself.
    async fn add(&self, more: &[[&str; 2]]) {
        for ((key, ca), more) in KEYS.into_iter().zip(more) {
            let data = json!({"data": {key: format!("{}{}", more.concat(), self.secrets.trusted(ca))}});
            self.map(&["patch", MAP, "--type=merge", "-p", &data.to_string()]);
        }
        self.stir().await;
    }

    /// Has the API server look at it once more.
    async fn stir(&self) {
        self.map(&["annotate", MAP, &format!("stirred={}", rand::random::<u32>()), "--overwrite"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn former_authorities_go_from_what_api_servers_tell_and_do_not_come_back() {
    let secrets = secrets();
    let Some((server, api)) = Server::answering(&secrets).await else { return };
    let house = House { server, api, secrets };
    let [former, former_proxy, theirs] = [Ca::Cluster.common_name(), Ca::FrontProxy.common_name(), "their-own"].map(|n| authority(n).cert);
    let ours = KEYS.map(|(_, ca)| house.secrets.trusted(ca));
    assert_eq!(house.told(KEYS[0].0).await, [ours[0].as_str()]);
    let forget = || house.api.forget_former(|ca| house.secrets.trusted(ca));
    assert_eq!(forget().await, Ok(false), "there is none");

    house.add(&[[&former, &theirs], [&former_proxy, ""]]).await;
    let held: Vec<usize> = [house.told(KEYS[0].0).await, house.told(KEYS[1].0).await].iter().map(Vec::len).collect();
    assert_eq!(held, [3, 2], "an API server lets go of nothing by itself");
    assert_eq!(forget().await, Ok(true));
    house.stir().await;
    assert_eq!(house.told(KEYS[0].0).await, [theirs.as_str(), &ours[0]]);
    assert_eq!(house.told(KEYS[1].0).await, [ours[1].as_str()]);
    assert_eq!(forget().await, Ok(false));

    // What is advised where that did not work.
    house.add(&[[&former, ""], [&former_proxy, ""]]).await;
    house.map(&["delete", MAP]);
    assert_eq!(house.told(KEYS[0].0).await, [ours[0].as_str()]);
    assert_eq!(house.told(KEYS[1].0).await, [ours[1].as_str()]);
}

/// What `kubectl rollout restart` does, and nobody who applies the workload again takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn pods_begin_again_and_stay_so() {
    let Some((_server, api)) = Server::answering(&secrets()).await else { return };
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "dns", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "dns"}},
            "template": {"metadata": {"labels": {"app": "dns"}}, "spec": {"containers": [{"name": "dns", "image": "dns"}]}},
        },
    });
    let resource = Resource::builtin("apps/v1", "Deployment").unwrap();
    let of = |live: &Value| (live["metadata"]["generation"].clone(), live["spec"]["template"]["metadata"]["annotations"].clone());
    let before = of(&api.apply(&resource, &deployment).await.unwrap());
    assert_eq!(before, (json!(1), Value::Null));
    let holder = |what: &str| Holder { namespace: "default".into(), what: what.into() };
    assert_eq!(api.restart(&holder("deployment/dns")).await, Ok(true));
    let after = of(&api.apply(&resource, &deployment).await.unwrap());
    assert_eq!(after.0, json!(2), "its pods are made anew once");
    assert!(after.1["kubectl.kubernetes.io/restartedAt"].is_string(), "{after:?}");
    assert_eq!(api.restart(&holder("pod/dns")).await, Ok(false), "nothing would make it anew");
    assert!(api.restart(&holder("daemonset/dns")).await.is_err(), "there is none");
}
