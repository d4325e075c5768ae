//! The etcd member of a control plane.
//!
//! Founding the cluster is static: every control plane starts with the same list of members, given by a seed file that
//! etcd reads only while it has no data. Afterwards the list lives in etcd itself, so another control plane changes nothing
//! here: it joins ([`super::etcd_join`]), and its seed file says whom.

use super::etcd_join::Joining;
use super::identity::pair;
use super::pki::PKI;
use super::programs::links;
use super::{Ctx, Ready, Step, restore};
use crate::cluster::{Cluster, Component, Node};
use crate::error::Result;
use crate::pki::name;
use crate::template::{context, render};
use crate::want::{Account, Dir, File, Unit, Want};
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;

/// The unit.
pub(super) const UNIT: &str = "etcd.service";
/// Where the ID of the cluster is kept once it was founded.
pub(super) const RECORDED_ID: &str = "/var/lib/homectl/etcd-cluster-id";
/// The list of members at the foundation.
const SEED: &str = "/etc/homectl/etcd-bootstrap.env";

/// Milliseconds. Members are houses apart (tens of milliseconds over the overlay) and write to SD cards that now and then
/// stall for a second; upstream asks for ten heartbeats an election. A dead leader is replaced within five seconds.
const HEARTBEAT: u32 = 250;
const ELECTION: u32 = 2500;
/// Bytes: twice upstream's default, half of where it begins to warn. A home's store is a hundredth of it.
const QUOTA: u64 = 4 << 30;

/// TLS 1.2 suites with forward secrecy and authenticated encryption; those of TLS 1.3 are not chosen from.
const CIPHER_SUITES: &str = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,\
                             TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256";

/// The member.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let unit = render(
        "etcd/etcd.service.j2",
        context! {
            node => &ctx.node.name, overlay => ctx.node.overlay.to_string(), recorded_id => RECORDED_ID, seed => SEED,
            cipher_suites => CIPHER_SUITES, heartbeat => HEARTBEAT, election => ELECTION, quota => QUOTA,
        },
    )?;
    // Members of a restored cluster are made together; nobody joins.
    let joining = if ctx.restore.is_some() { None } else { Joining::of(ctx) };
    let mut wants = vec![
        Want::Account(Account::new("etcd")),
        Want::Dir(Dir::new("/var/lib/etcd").mode(0o700).owner("etcd:etcd").tree()),
        Want::File(seed(ctx, joining.as_ref())),
    ];
    wants.extend(links(ctx, Component::Etcd)?);
    wants.extend(pair(ctx, name::ETCD_SERVER, &format!("{PKI}/etcd/server"), Some(UNIT))?);
    wants.extend(pair(ctx, name::ETCD_PEER, &format!("{PKI}/etcd/peer"), Some(UNIT))?);
    wants.extend(pair(ctx, name::ETCD_HEALTHCHECK_CLIENT, &format!("{PKI}/etcd/healthcheck-client"), None)?);
    wants.push(Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).mode(0o600).restarts(UNIT)));
    wants.extend(joining.as_ref().map(|j| Want::Guard(j.member(ctx))));
    wants.extend(restore::data(ctx).map(Want::Guard));
    wants.push(Want::Unit(Unit::running(UNIT)));
    wants.extend(joining.as_ref().map(|j| Want::Guard(j.voter(ctx))));
    let after = joining.map_or_else(|| restore::after(ctx), |j| j.after(ctx));
    let ready = Ready {
        deadline: 300,
        units: vec![UNIT.into()],
        ..Ready::node("the etcd member answers and its cluster has a leader", format!("{} endpoint health 2>&1\n", ctl(ctx)))
    };
    Ok(Some(Step {
        id: ctx.id("etcd"),
        title: "etcd member".into(),
        after,
        wants,
        ready: Some(ready),
        rolling: Some("etcd"),
        aside: false,
    }))
}

/// sh: `etcdctl` against this node's member, by the health check's certificate.
pub(super) fn ctl(ctx: &Ctx) -> String {
    ctl_at(&format!("https://{}:2379", ctx.node.overlay))
}

/// sh: `etcdctl` against `endpoints`, comma-separated.
pub(super) fn ctl_at(endpoints: &str) -> String {
    format!(
        "/opt/homectl/bin/etcdctl --command-timeout=5s --endpoints={endpoints} --cacert={PKI}/etcd/ca.crt \
         --cert={} --key={PKI}/etcd/healthcheck-client.key",
        client_cert()
    )
}

/// The certificate that etcd is asked with.
pub(super) fn client_cert() -> String {
    format!("{PKI}/etcd/healthcheck-client.crt")
}

/// The name and peer address of every member at the foundation, as etcd writes it.
pub(super) fn members(cluster: &Cluster) -> impl Iterator<Item = (&str, String)> {
    cluster.control_planes().map(|n| (n.name.as_str(), peer_url(n)))
}

/// Where the other members find the one on `node`.
pub(super) fn peer_url(node: &Node) -> String {
    peer_at(node.overlay)
}

pub(super) fn peer_at(overlay: Ipv4Addr) -> String {
    format!("https://{overlay}:2380")
}

/// What sets this cluster's member IDs apart from those of any other of the same name and addresses.
pub(super) fn token(cluster: &Cluster, etcd_ca: &str) -> String {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(etcd_ca.as_bytes()));
    format!("{}-{}", cluster.name, &digest[..12])
}

/// Follows the inventory until there is data, and stays as it is from then on.
fn seed(ctx: &Ctx, joining: Option<&Joining>) -> File {
    let (how, state, list) = match joining {
        Some(joining) => ("whom it joined", "existing", joining.list(ctx)),
        None => ("how this cluster was founded", "new", members(ctx.cluster).map(|(name, url)| format!("{name}={url}")).collect()),
    };
    let text = format!(
        "# Read by etcd only while it has no data: {how}.\nETCD_INITIAL_CLUSTER={}\nETCD_INITIAL_CLUSTER_STATE={state}\nETCD_INITIAL_CLUSTER_TOKEN={}\n",
        list.join(","),
        token(ctx.cluster, &ctx.secrets.etcd_ca.cert),
    );
    let file = File::text(SEED, text);
    if ctx.facts.etcd_data { file.seed() } else { file.restarts(UNIT) }
}
