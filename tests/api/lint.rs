//! What every object of the catalogue has to keep to.

use homectl::want::Object;
use serde_json::Value;

/// Everything wrong with an object; empty where nothing is.
pub(crate) fn problems(object: &Object) -> Vec<String> {
    let mut found = Vec::new();
    let manifest = &object.manifest;
    match object.kind.as_str() {
        "Deployment" | "DaemonSet" | "StatefulSet" => pod(&manifest["spec"]["template"]["spec"], &mut found),
        "ClusterRole" | "Role" => role(manifest, &mut found),
        "ClusterRoleBinding" if manifest["roleRef"]["name"] == "cluster-admin" => {
            // The operator, by a group that only a certificate made by hand or by homectl can have.
            let operators = serde_json::json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "homectl:operators"}]);
            if manifest["subjects"] != operators {
                found.push("binds cluster-admin".into());
            }
        }
        "ServiceAccount" if manifest["automountServiceAccountToken"] != false => found.push("mounts its token everywhere".into()),
        "APIService" if manifest["spec"]["insecureSkipTLSVerify"] == true || manifest["spec"]["caBundle"].is_null() => {
            found.push("is not verified".into());
        }
        _ => {}
    }
    if object.namespace == "default" {
        found.push("lives in the namespace default".into());
    }
    found.into_iter().map(|p| format!("{object}: {p}")).collect()
}

fn role(manifest: &Value, found: &mut Vec<String>) {
    for rule in manifest["rules"].as_array().into_iter().flatten() {
        for field in ["apiGroups", "resources", "verbs"] {
            let all: Vec<&str> = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            if all.contains(&"*") {
                found.push(format!("has a wildcard in {field}"));
            }
            if field == "verbs" && all.iter().any(|v| ["bind", "escalate", "impersonate"].contains(v)) {
                found.push("can give itself more rights".into());
            }
            if field == "resources" && all.iter().any(|r| ["secrets", "nodes/proxy"].contains(r)) {
                found.push("reads secrets or drives kubelets".into());
            }
        }
    }
}

/// The restricted profile, and house rules.
fn pod(spec: &Value, found: &mut Vec<String>) {
    let mut need = |ok: bool, what: &str| {
        if !ok {
            found.push(what.to_owned());
        }
    };
    let context = &spec["securityContext"];
    need(context["runAsNonRoot"] == true, "may run as root");
    need(context["runAsUser"].as_i64().is_some_and(|u| u > 0), "does not say which user it runs as");
    need(context["seccompProfile"]["type"] == "RuntimeDefault", "has no seccomp profile");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        need(spec[field].is_null(), "shares the host's namespaces");
    }
    need(spec["priorityClassName"].is_string(), "has no priority");
    need(spec["automountServiceAccountToken"].is_boolean(), "does not say whether it gets a token");
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        need(["configMap", "secret", "emptyDir"].iter().any(|kind| volume.get(*kind).is_some()), "mounts something of the host");
    }
    let containers = ["containers", "initContainers"].iter().flat_map(|list| spec[*list].as_array().into_iter().flatten());
    for c in containers {
        let image = c["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
        need(!tag.is_empty() && tag != "latest" && !tag.contains('/'), "has no pinned image");
        need(image.split('/').next().is_some_and(|host| host.contains('.')), "has an image without its registry");
        for field in ["requests", "limits"] {
            for what in ["cpu", "memory"] {
                need(c["resources"][field][what].is_string(), "has no requests or limits");
            }
        }
        let context = &c["securityContext"];
        need(context["allowPrivilegeEscalation"] == false, "may gain privileges");
        need(context["readOnlyRootFilesystem"] == true, "may write to its image");
        need(context["capabilities"]["drop"] == serde_json::json!(["ALL"]), "keeps capabilities");
        need(context["capabilities"]["add"].is_null(), "adds capabilities");
    }
}
