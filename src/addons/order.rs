//! In which order objects of one add-on are made: what others stand on first, what can refuse others last. Pruning
//! goes the other way, so that webhooks are gone before what serves them.

use crate::want::Object;

/// Ranks by kind; what is not named here (custom resources among them) comes after workloads.
const RANKS: [&[&str]; 8] = [
    &["Namespace"],
    &["CustomResourceDefinition", "PriorityClass", "RuntimeClass", "IngressClass"],
    &["ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"],
    &["ConfigMap", "Secret", "LimitRange", "ResourceQuota", "NetworkPolicy", "PodDisruptionBudget"],
    &["StorageClass", "CSIDriver", "PersistentVolume", "PersistentVolumeClaim"],
    &["Service", "Endpoints", "EndpointSlice"],
    &["DaemonSet", "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController", "Pod", "Job", "CronJob"],
    &["HorizontalPodAutoscaler", "Ingress"],
];
/// These change what the API server does with everybody else's requests.
const LAST: [&str; 5] = [
    "APIService",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

/// The place of a kind; lower is earlier.
pub(super) fn rank(kind: &str) -> usize {
    if let Some(last) = LAST.iter().position(|k| *k == kind) {
        return RANKS.len() + 1 + last;
    }
    RANKS.iter().position(|kinds| kinds.contains(&kind)).unwrap_or(RANKS.len())
}

/// Sorts by rank; objects of one rank keep their order.
pub(super) fn sort(objects: &mut [Object]) {
    objects.sort_by_key(|o| rank(&o.kind));
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn foundations_first_webhooks_last() {
        let order = [
            "Namespace",
            "CustomResourceDefinition",
            "ServiceAccount",
            "ConfigMap",
            "Service",
            "Deployment",
            "Certificate",
            "APIService",
            "ValidatingWebhookConfiguration",
        ];
        assert!(order.is_sorted_by_key(|k| rank(k)));
    }
}
