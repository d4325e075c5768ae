//! Kinds and where the API serves them: a table of upstream's own, so that a run without custom resources asks nothing,
//! and what discovery says of the rest.

use serde_json::Value;

/// A kind as the API serves it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// `apps`; empty for the core group.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    pub namespaced: bool,
}

/// Upstream kinds, `apiVersion kind plural`; a leading `*` marks cluster-scoped ones.
const BUILTIN: &[(&str, &str, &str)] = &[
    ("v1", "ConfigMap", "configmaps"),
    ("v1", "Endpoints", "endpoints"),
    ("v1", "LimitRange", "limitranges"),
    ("v1", "Namespace", "*namespaces"),
    ("v1", "Node", "*nodes"),
    ("v1", "PersistentVolume", "*persistentvolumes"),
    ("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("v1", "Pod", "pods"),
    ("v1", "ReplicationController", "replicationcontrollers"),
    ("v1", "ResourceQuota", "resourcequotas"),
    ("v1", "Secret", "secrets"),
    ("v1", "Service", "services"),
    ("v1", "ServiceAccount", "serviceaccounts"),
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "*mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", "*validatingadmissionpolicies"),
    ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding", "*validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "*validatingwebhookconfigurations"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "*customresourcedefinitions"),
    ("apiregistration.k8s.io/v1", "APIService", "*apiservices"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("batch/v1", "Job", "jobs"),
    ("certificates.k8s.io/v1", "CertificateSigningRequest", "*certificatesigningrequests"),
    ("coordination.k8s.io/v1", "Lease", "leases"),
    ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
    ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema", "*flowschemas"),
    ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration", "*prioritylevelconfigurations"),
    ("networking.k8s.io/v1", "Ingress", "ingresses"),
    ("networking.k8s.io/v1", "IngressClass", "*ingressclasses"),
    ("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies"),
    ("node.k8s.io/v1", "RuntimeClass", "*runtimeclasses"),
    ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole", "*clusterroles"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "*clusterrolebindings"),
    ("rbac.authorization.k8s.io/v1", "Role", "roles"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    ("scheduling.k8s.io/v1", "PriorityClass", "*priorityclasses"),
    ("storage.k8s.io/v1", "CSIDriver", "*csidrivers"),
    ("storage.k8s.io/v1", "StorageClass", "*storageclasses"),
    ("storage.k8s.io/v1", "VolumeAttachment", "*volumeattachments"),
];

/// `group, version` of an `apiVersion`; the core group is empty.
#[must_use]
pub fn split(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl Resource {
    /// One of upstream's own kinds, known without asking.
    #[must_use]
    pub fn builtin(api_version: &str, kind: &str) -> Option<Self> {
        BUILTIN.iter().find(|(v, k, _)| *v == api_version && *k == kind).map(Self::row)
    }

    /// One of upstream's own kinds by its group, in the version of the table.
    #[must_use]
    pub fn builtin_of_group(group: &str, kind: &str) -> Option<Self> {
        BUILTIN.iter().find(|(v, k, _)| split(v).0 == group && *k == kind).map(Self::row)
    }

    fn row((api_version, kind, plural): &(&str, &str, &str)) -> Self {
        let (group, version) = split(api_version);
        let bare = plural.trim_start_matches('*');
        Self {
            group: group.into(),
            version: version.into(),
            kind: (*kind).into(),
            plural: bare.into(),
            namespaced: bare.len() == plural.len(),
        }
    }

    /// What a `CustomResourceDefinition` will serve, one entry a version, its storage version first.
    #[must_use]
    pub fn defined_by(crd: &Value) -> Vec<Self> {
        let spec = &crd["spec"];
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let mut versions: Vec<&Value> = spec["versions"].as_array().into_iter().flatten().collect();
        versions.sort_by_key(|v| v["storage"] != true);
        let served = versions.into_iter().filter(|v| v["served"] != false);
        served
            .map(|v| Self {
                group: text(&spec["group"]),
                version: text(&v["name"]),
                kind: text(&spec["names"]["kind"]),
                plural: text(&spec["names"]["plural"]),
                namespaced: spec["scope"] != "Cluster",
            })
            .collect()
    }

    /// `apps/v1`, or `v1`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Path of the collection, in one namespace or (empty) all of them.
    #[must_use]
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let place = if self.namespaced && !namespace.is_empty() { format!("/namespaces/{namespace}") } else { String::new() };
        format!("{root}/{}{place}/{}", self.api_version(), self.plural)
    }

    /// Path of one object.
    #[must_use]
    pub fn path(&self, namespace: &str, name: &str) -> String {
        // Names of RBAC objects may hold colons, which a path may hold as well; nothing else needs care.
        format!("{}/{name}", self.collection(namespace))
    }
}

/// Reads aggregated discovery documents: every kind that can be listed, a group's preferred version first.
pub(super) fn discovered(documents: &[Value]) -> Vec<Resource> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let array = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let mut all = Vec::new();
    for group in documents.iter().flat_map(|d| array(&d["items"])) {
        for version in array(&group["versions"]) {
            for r in array(&version["resources"]) {
                if !array(&r["verbs"]).iter().any(|v| v == "list") {
                    continue;
                }
                all.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    kind: text(&r["responseKind"]["kind"]),
                    plural: text(&r["resource"]),
                    namespaced: r["scope"] == "Namespaced",
                });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths() {
        let table = [
            ("v1", "ConfigMap", "/api/v1/namespaces/a/configmaps/x"),
            ("v1", "Node", "/api/v1/nodes/x"),
            ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/a/deployments/x"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"),
        ];
        for (version, kind, path) in table {
            assert_eq!(Resource::builtin(version, kind).unwrap().path("a", "x"), path);
        }
        assert_eq!(Resource::builtin("apps/v1", "Deployment").unwrap().collection(""), "/apis/apps/v1/deployments");
        assert!(Resource::builtin("apps/v1beta1", "Deployment").is_none());
    }

    #[test]
    fn custom_resources_storage_version_first() {
        let crd = json!({"spec": {"group": "x.io", "scope": "Cluster", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": false}, {"name": "v1", "served": true, "storage": true},
                         {"name": "v0", "served": false, "storage": false}]}});
        let all = Resource::defined_by(&crd);
        assert_eq!(all.iter().map(Resource::api_version).collect::<Vec<_>>(), ["x.io/v1", "x.io/v1alpha1"]);
        assert_eq!(all[0].path("ignored", "a"), "/apis/x.io/v1/things/a");
    }
}
