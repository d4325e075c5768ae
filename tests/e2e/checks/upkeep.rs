//! What a control plane does by itself, as systemd runs it: certificates renewed, snapshots taken.

use super::Cluster;
use crate::Result;
use crate::scene::{ensure, eventually};

/// Everything is renewed at once (machines of the lab do not know whether their clock is right: only what is urgent is
/// renewed then), by the node's own service as it is sandboxed, and everything that listens shows it.
pub(crate) fn renewal(cluster: &Cluster, node: &str) -> Result {
    let before = shown(cluster, node)?;
    let dropin = "/run/systemd/system/homectl-renewal.service.d";
    let due = format!(
        "mkdir -p {dropin} && printf '[Service]\\nEnvironment=HOMECTL_RENEW_AT=101 HOMECTL_RENEW_URGENT=101\\n' >{dropin}/due.conf && systemctl daemon-reload\n\
         systemctl start homectl-renewal.service; rc=$?\n\
         rm -r {dropin} && systemctl daemon-reload\n\
         [ $rc = 0 ] || {{ journalctl -u homectl-renewal -n 40 --no-pager -o cat; exit 1; }}"
    );
    cluster.lab.sh(node, &due)?;
    eventually(60, "the API answers", || cluster.kubectl.ok(&["get", "--raw", "/readyz"]).map(drop))?;
    let after = shown(cluster, node)?;
    let same: Vec<&String> = after.iter().filter(|line| before.contains(line)).collect();
    ensure(before.len() == SHOWN && after.len() == SHOWN && same.is_empty(), || format!("before: {before:#?}\n      after: {after:#?}"))
}

/// Three ports and two client certificates.
const SHOWN: usize = 5;

/// `PORT FINGERPRINT` of what etcd and the API server show, `NAME FINGERPRINT` of their clients' own; as openssl sees them.
fn shown(cluster: &Cluster, node: &str) -> Result<Vec<String>> {
    let pki = "/etc/kubernetes/pki/etcd";
    let script = format!(
        "overlay=$(ip -4 -o addr show wg0 | awk '{{ sub(\"/.*\", \"\", $4); print $4 }}')\n\
         for at in $overlay:2379 $overlay:2380 $overlay:6443; do\n\
         timeout 5 openssl s_client -connect $at -cert {pki}/healthcheck-client.crt -key {pki}/healthcheck-client.key </dev/null 2>/dev/null |\n\
         openssl x509 -noout -fingerprint -sha256 | sed \"s/^/${{at##*:}} /\"; done\n\
         for f in controller-manager scheduler; do printf '%s ' $f\n\
         sed -n 's/^ *client-certificate-data: *//p' /etc/kubernetes/$f.conf | base64 -d | openssl x509 -noout -fingerprint -sha256; done"
    );
    Ok(cluster.lab.sh(node, &script)?.lines().map(str::to_owned).collect())
}

/// A snapshot taken by the service can be read by upstream's tool, and holds the cluster.
pub(crate) fn snapshot(cluster: &Cluster, node: &str) -> Result {
    let script = "set -e; systemctl start homectl-etcd-snapshot.service\n\
         last=$(find /var/lib/homectl/snapshots -name 'etcd-*.db' | sort | tail -n 1)\n\
         to=$(mktemp -d); trap 'rm -rf $to' EXIT\n\
         /opt/homectl/bin/etcdutl snapshot status $last -w json\n\
         /opt/homectl/bin/etcdutl snapshot restore $last --data-dir $to/data >/dev/null 2>&1\n\
         ls $to/data/member\n\
         stat -c %a:%U $last";
    let said = cluster.lab.sh(node, script)?;
    let keys = said.split("\"totalKey\":").nth(1).and_then(|rest| rest.split([',', '}']).next()?.parse::<u64>().ok());
    ensure(keys.is_some_and(|k| k > 100) && said.contains("snap\nwal") && said.trim_end().ends_with("600:root"), || said)
}
