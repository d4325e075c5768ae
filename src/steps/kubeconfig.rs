//! Kubeconfigs that name files, for what runs as root on a node with the kubelet's rotated certificate.

use crate::error::{Failure, Result};
use serde_json::json;

/// The kubelet's client certificate and key; a link that the kubelet repoints when it renews.
pub(super) const CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// The cluster's CA certificate on every node.
pub(super) const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// A kubeconfig for `server` with the node's own identity. It names files and holds no secret.
///
/// # Errors
/// A bug, when it cannot be serialised.
pub(super) fn node(cluster: &str, user: &str, server: &str) -> Result<String> {
    yaml(&json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority": CA}}],
        "users": [{"name": user, "user": {"client-certificate": CLIENT, "client-key": CLIENT}}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    }))
}

/// A value as YAML in the order it was built.
///
/// # Errors
/// A bug, when it cannot be serialised.
pub(super) fn yaml(value: &serde_json::Value) -> Result<String> {
    serde_saphyr::to_string(value).map_err(|e| Failure::bug("a configuration cannot be written as YAML").seen(e.to_string()))
}

/// A value as JSON for people.
///
/// # Errors
/// A bug, when it cannot be serialised.
pub(super) fn json_pretty(value: &serde_json::Value) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|e| Failure::bug("a configuration cannot be written as JSON").seen(e.to_string()))
}
