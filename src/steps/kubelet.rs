//! The kubelet: its configuration, its identity, and in a reset the end of every pod.

use super::kubeconfig::{self, CA, CLIENT, yaml};
use super::{Ctx, Ready, Step, api_proxy, base, kube_proxy, kube_router, overlay, programs, runtime};
use crate::cluster::{Component, HostnamePolicy, Taint};
use crate::error::{Failure, Result};
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Unit, Want, quote};
use serde_json::{Value, json};

pub(super) const UNIT: &str = "kubelet.service";
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const RESOLV_CONF: &str = "/etc/homectl/resolv.conf";
const LABELS: &str = "/etc/homectl/kubelet-labels";
/// The kubelet asks for one where there is none.
pub(super) const SERVING: &str = "/var/lib/kubelet/pki/kubelet-server-current.pem";
const INITIAL: &str = "/var/lib/kubelet/pki/kubelet-client-initial.pem";

/// TLS 1.2 suites with forward secrecy and authenticated encryption (CIS 4.2.12); those of TLS 1.3 are all good.
const CIPHERS: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
];

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let resolv = Want::File(File::text(RESOLV_CONF, resolv_conf(ctx)?).restarts(UNIT));
    let mut wants = vec![
        Want::Dir(Dir::new("/var/lib/kubelet").mode(0o750).tree()),
        Want::Dir(Dir::new("/var/lib/kubelet/pki").mode(0o700)),
        Want::Guard(Guard::new("pods", "pods run until homectl goes", "exit 0", "exit 1").undo(undo()?)),
    ];
    wants.extend(programs::links(ctx, Component::Kubelet)?);
    wants.extend(if resolver(ctx) == RESOLV_CONF { Some(resolv) } else { resolv.absent() });
    wants.extend(serving_certificate(ctx).map(Want::Guard));
    wants.extend([
        Want::File(
            File::text(KUBECONFIG, kubeconfig::node(&ctx.cluster.name, "kubelet", ctx.cluster.local_api())?).mode(0o600).restarts(UNIT),
        ),
        Want::Guard(client_certificate(ctx)?),
        Want::File(File::text(CONFIG, configuration(ctx)?).mode(0o600).restarts(UNIT)),
        // Labels count when the node registers; later ones go through the API, so no restart is due.
        Want::File(File::text(LABELS, labels(ctx)?).mode(0o600)),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit(ctx)?).mode(0o600).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    // 127.0.0.1:10248 in the state LISTEN: the health endpoint is served once everything else is started.
    let test = format!("systemctl is-active {UNIT} && grep -q ' 0100007F:2808 [0-9A-F:]* 0A ' /proc/net/tcp");
    let ready = Ready { units: vec![UNIT.into()], through: ctx.api_servers(), ..Ready::node("the kubelet runs", test) };
    Ok(Some(Step {
        id: ctx.id("kubelet"),
        title: "kubelet".into(),
        // Another authority signs what a kubelet asks for once every controller manager has its key.
        after: if ctx.new_signer().is_some() || ctx.is_outlived(ctx.facts) { ctx.controller_managers() } else { Vec::new() },
        wants,
        ready: Some(ready),
        rolling: Some("kubelet"),
        aside: false,
    }))
}

pub(super) fn warnings(ctx: &Ctx) -> Vec<String> {
    let (facts, node) = (ctx.facts, &ctx.node.name);
    let mut all = Vec::new();
    if !facts.cgroup_v2 {
        all.push(format!(
            "{node}: cgroup v1: Kubernetes has given it up and will stop working there; boot with systemd.unified_cgroup_hierarchy=1"
        ));
    }
    if facts.loopback_resolver && facts.nameservers.is_empty() {
        all.push(format!(
            "{node}: /etc/resolv.conf names only a resolver of the machine itself and no upstream was found: pods will resolve names of the cluster only"
        ));
    }
    all
}

fn configuration(ctx: &Ctx) -> Result<String> {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
    });
    let Value::Object(map) = &mut config else { return Err(Failure::bug("a JSON object is none")) };
    for part in [access(ctx), resources(ctx), machine(ctx)] {
        if let Value::Object(part) = part {
            map.extend(part);
        }
    }
    Ok(format!("# Managed by homectl.\n{}", yaml(&config)?))
}

/// Who may talk to the kubelet, where, and whom it talks to.
fn access(ctx: &Ctx) -> Value {
    let cluster = ctx.cluster;
    json!({
        "address": ctx.node.overlay.to_string(),
        "port": 10250,
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": CA},
        },
        "authorization": {"mode": "Webhook"},
        "tlsMinVersion": "VersionTLS12",
        "tlsCipherSuites": CIPHERS,
        "rotateCertificates": true,
        "serverTLSBootstrap": true,
        "streamingConnectionIdleTimeout": "4h0m0s",
        "makeIPTablesUtilChains": true,
        "eventRecordQPS": 50,
        "clusterDomain": cluster.network.domain,
        "clusterDNS": [cluster.dns_service().to_string()],
        "resolvConf": resolver(ctx),
        "registerWithTaints": taints(ctx),
    })
}

/// The file that pods' resolv.conf is made from. systemd-resolved keeps one that follows the network; a copy of ours is for
/// other resolvers on loopback only.
fn resolver(ctx: &Ctx) -> &'static str {
    match (ctx.facts.loopback_resolver, ctx.facts.resolved) {
        (false, _) => "/etc/resolv.conf",
        (true, true) => "/run/systemd/resolve/resolv.conf",
        (true, false) => RESOLV_CONF,
    }
}

/// What pods may take. A control plane's own services need their share. A home's disk holds much else: upstream's 15 % of a
/// NAS would be hundreds of free gigabytes without which no pod starts.
fn resources(ctx: &Ctx) -> Value {
    let reserved =
        if ctx.node.is_control_plane() { json!({"cpu": "300m", "memory": "800Mi"}) } else { json!({"cpu": "100m", "memory": "200Mi"}) };
    json!({
        "failSwapOn": false,
        "memorySwap": {"swapBehavior": "NoSwap"},
        "podPidsLimit": 4096,
        "seccompDefault": true,
        "systemReserved": reserved,
        "containerLogMaxSize": "10Mi",
        "containerLogMaxFiles": 3,
        "imageGCHighThresholdPercent": 90,
        "imageGCLowThresholdPercent": 85,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "5%",
            "nodefs.inodesFree": "5%",
            "imagefs.available": "5%",
            "imagefs.inodesFree": "5%",
        },
        "serializeImagePulls": false,
        "maxParallelImagePulls": 3,
        "shutdownGracePeriod": "30s",
        "shutdownGracePeriodCriticalPods": "10s",
    })
}

/// The machine as facts tell it.
fn machine(ctx: &Ctx) -> Value {
    let mut config = json!({
        "cgroupDriver": "systemd",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "protectKernelDefaults": base::kernel_defaults(ctx),
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    });
    if !ctx.facts.cgroup_v2 {
        config["failCgroupV1"] = false.into();
    }
    if !ctx.facts.cap_sys_resource {
        config["featureGates"] = json!({"KubeletInUserNamespace": true});
    }
    config
}

/// Taints at registration; later changes go through the API.
fn taints(ctx: &Ctx) -> Vec<Value> {
    let mut taints = ctx.node.taints.clone();
    let own = Taint { key: "node-role.kubernetes.io/control-plane".into(), value: String::new(), effect: "NoSchedule".into() };
    if ctx.node.is_control_plane() && !ctx.node.workloads && !taints.contains(&own) {
        taints.push(own);
    }
    taints.sort();
    taints.iter().map(|t| json!({"key": t.key, "value": t.value, "effect": t.effect})).collect()
}

/// Labels that a kubelet may give itself.
fn labels(ctx: &Ctx) -> Result<String> {
    let labels: Vec<String> = ctx.node.labels.iter().filter(|(key, _)| may_set(key)).map(|(k, v)| format!("{k}={v}")).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    if let Some(odd) = labels.iter().find(|l| !l.chars().all(plain)) {
        return Err(Failure::bug(format!("a label that is none passed the check of the inventory: {odd}")));
    }
    render("kubelet/labels.j2", context! { labels => labels.join(",") })
}

/// Whether the API lets a node set this label on itself.
fn may_set(key: &str) -> bool {
    const KNOWN: [&str; 5] = [
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    ];
    let Some((namespace, _)) = key.split_once('/') else { return true };
    let within = |domain: &str| namespace == domain || namespace.ends_with(&format!(".{domain}"));
    if KNOWN.contains(&key) || within("kubelet.kubernetes.io") || within("node.kubernetes.io") {
        return true;
    }
    !within("kubernetes.io") && !within("k8s.io")
}

/// Real upstreams, where the machine's own resolver listens on loopback: pods cannot reach that one.
fn resolv_conf(ctx: &Ctx) -> Result<String> {
    let nameservers: Vec<String> = ctx.facts.nameservers.iter().take(3).cloned().collect();
    render("kubelet/resolv.conf.j2", context! { nameservers, search => ctx.facts.search.join(" ") })
}

fn unit(ctx: &Ctx) -> Result<String> {
    let hostname = (ctx.node.hostname == HostnamePolicy::Keep).then_some(ctx.node.name.as_str());
    let after = [runtime::UNIT, overlay::UNIT, api_proxy::UNIT, api_proxy::GATE].join(" ");
    let values = context! {
        bin => programs::BIN, config => CONFIG, kubeconfig => KUBECONFIG, labels => LABELS, address => ctx.node.overlay.to_string(), hostname, after,
    };
    render("kubelet/kubelet.service.j2", values)
}

/// The node's identity. The kubelet renews it by writing a new file and repointing the link, which must be a link
/// for that (it refuses a plain file). So whatever valid certificate of this node the link leads to is settled; a
/// missing, expired or foreign one is replaced by that of the secrets.
fn client_certificate(ctx: &Ctx) -> Result<Guard> {
    let name = &ctx.node.name;
    let Some(pair) = ctx.secrets.leaf(name, crate::pki::name::KUBELET) else {
        return Err(Failure::bug(format!("the secrets hold no client certificate of {name}'s kubelet")));
    };
    let ok = client_ok(CLIENT, CA, name, &ctx.signers())?;
    let pem = data_encoding::BASE64.encode(format!("{}{}", pair.cert, pair.key.expose()).as_bytes());
    let run = format!("put {INITIAL} 0600 root:root <<'@homectl'\n{pem}\n@homectl\nrelink {CLIENT} {INITIAL}\n");
    let guard = Guard::new(format!("certificate:{CLIENT}"), format!("a valid client certificate of system:node:{name}"), ok, run)
        // The link beside it is the kubelet's: repointed at each renewal, of which nobody has to hear.
        .writes(&[INITIAL]);
    Ok([UNIT, kube_proxy::UNIT].into_iter().chain(kube_router::service(ctx)).fold(guard, Guard::restarts))
}

/// A serving certificate by another authority goes, so that the kubelet asks for one: API servers would not believe it. What lies
/// there counts; where nothing does, what is shown: a run may have been cut between the two.
fn serving_certificate(ctx: &Ctx) -> Option<Guard> {
    let signers = ctx.signers();
    if signers.is_empty() {
        return None;
    }
    let ok = format!(
        "if [ ! -e {SERVING} ] && ! systemctl is-active -q {UNIT}; then exit 0; fi\n\
         command -v openssl >/dev/null || {{ echo 'openssl is not installed yet'; exit 75; }}\n\
         if [ -e {SERVING} ]; then\n{ours} <{SERVING} || {{ echo 'signed by another authority'; exit 1; }}\nexit 0\nfi\n\
         shown=$({shown}) || shown=\n\
         [ -z \"$shown\" ] || printf '%s\\n' \"$shown\" | {ours} || {{ echo 'the kubelet shows one of another authority'; exit 1; }}\n",
        ours = signed_by(&signers),
        shown = shown(&ctx.node.overlay.to_string()),
    );
    let title = "a serving certificate signed by the cluster's authority, or none";
    Some(Guard::new(format!("certificate:{SERVING}"), title, ok, format!("rm -f {SERVING}\n")).restarts(UNIT))
}

/// sh that says of the certificate on its stdin whether an authority of one of these key ids made it.
pub(super) fn signed_by(key_ids: &[String]) -> String {
    format!("{{ openssl x509 -noout -ext subjectKeyIdentifier,authorityKeyIdentifier 2>/dev/null | grep -q {}; }}", any(key_ids))
}

/// What has `grep` look for one of these.
fn any(key_ids: &[String]) -> String {
    key_ids.iter().map(|id| format!("-e {}", quote(id))).collect::<Vec<_>>().join(" ")
}

/// sh that prints the certificate that the kubelet at `address` shows.
pub(super) fn shown(address: &str) -> String {
    format!("timeout 5 openssl s_client -connect {address}:10250 </dev/null 2>/dev/null | openssl x509 2>/dev/null")
}

/// The test: exits 75 before openssl and the CA are there, 1 with the reason, 0 for a valid certificate of `node`, made by
/// an authority with one of the key ids `signers`, where those are known.
fn client_ok(link: &str, ca: &str, node: &str, signers: &[String]) -> Result<String> {
    render("kubelet/client-ok.sh.j2", context! { link, ca, signers => any(signers), subject => quote(&format!("CN=system:node:{node}")) })
}

/// What a kubelet leaves: pods with their mounts and control groups, chains of the packet filter, a setting of logind.
fn undo() -> Result<String> {
    let pods = render("kubelet/pods.sh.j2", context! { bin => programs::BIN, containerd => runtime::UNIT })?;
    let chains = render("kubelet/chains.sh.j2", context! { chains => "KUBE-" })?;
    Ok(pods + &chains)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{Authority, Ca, LeafSpec, Pair, Usage, issue, key_id, make_authority};
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn labels_that_a_node_may_set_itself() {
        for (key, may) in [
            ("gpu", true),
            ("example.net/gpu", true),
            ("topology.kubernetes.io/zone", true),
            ("kubelet.kubernetes.io/x", true),
            ("node.kubernetes.io/x", true),
            ("x.node.kubernetes.io/x", true),
            ("notkubernetes.io/x", true),
            ("node-role.kubernetes.io/worker", false),
            ("node-restriction.kubernetes.io/x", false),
            ("kubernetes.io/hostname", false),
            ("k8s.io/x", false),
        ] {
            assert_eq!(may_set(key), may, "{key}");
        }
    }

    fn certificate(authority: &Authority, name: &str, now: i64) -> Pair {
        let spec = LeafSpec {
            ca: Ca::Cluster,
            common_name: format!("system:node:{name}"),
            organizations: vec!["system:nodes".into()],
            dns: Vec::new(),
            ips: Vec::new(),
            usage: Usage::Client,
        };
        issue(authority, &spec, now).unwrap()
    }

    /// The test as it runs on a node: its status and what it says.
    fn judged_by(dir: &Path, signers: &[String]) -> (i32, String) {
        let path = |name: &str| dir.join(name).display().to_string();
        let script = client_ok(&path("current.pem"), &path("ca.crt"), "attic", signers).unwrap();
        let output = std::process::Command::new("sh").args(["-uc", &script]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn ids(authorities: &[&Authority]) -> Vec<String> {
        authorities.iter().filter_map(|a| key_id(&a.cert)).collect()
    }

    fn judged(dir: &Path) -> (i32, String) {
        judged_by(dir, &[])
    }

    #[test]
    fn a_client_certificate_is_judged_by_meaning() {
        if std::process::Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let now = jiff::Timestamp::now().as_second();
        let (home, other) = (make_authority("kubernetes-ca", now - 86_400 * 800).unwrap(), make_authority("other", now).unwrap());
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        let put = |pair: &Pair, key: &Pair| {
            std::fs::write(dir.join("some.pem"), format!("{}{}", pair.cert, key.key.expose())).unwrap();
        };
        assert_eq!(judged(dir), (75, "the CA certificate is not there yet".into()));
        std::fs::write(dir.join("ca.crt"), &home.cert).unwrap();
        assert_eq!(judged(dir), (1, "missing".into()));
        let good = certificate(&home, "attic", now);
        std::fs::write(dir.join("current.pem"), &good.cert).unwrap();
        assert!(judged(dir).1.contains("is no link"), "{:?}", judged(dir));
        std::fs::remove_file(dir.join("current.pem")).unwrap();
        symlink(dir.join("some.pem"), dir.join("current.pem")).unwrap();
        assert!(judged(dir).1.contains("leads nowhere"));
        put(&good, &good);
        assert_eq!(judged(dir), (0, String::new()));
        // Of two that are trusted, one signs.
        std::fs::write(dir.join("ca.crt"), format!("{}{}", home.cert, other.cert)).unwrap();
        assert_eq!(judged_by(dir, &ids(&[&home])), (0, String::new()));
        assert_eq!(judged_by(dir, &ids(&[&other])), (1, "signed by another authority".into()));
        assert_eq!(judged_by(dir, &ids(&[&other, &home])), (0, String::new()));
        // One that has ended hurts nobody beside one that has not, and proves nothing.
        let ended = make_authority("kubernetes-ca", now - 86_400 * 3651).unwrap();
        let by_ended = certificate(&make_authority("kubernetes-ca", now - 86_400 * 3000).unwrap(), "attic", now);
        std::fs::write(dir.join("ca.crt"), format!("{}{}", ended.cert, home.cert)).unwrap();
        assert_eq!(judged_by(dir, &ids(&[&home])), (0, String::new()));
        put(&by_ended, &by_ended);
        assert_eq!(judged(dir).0, 1);
        std::fs::write(dir.join("ca.crt"), &home.cert).unwrap();
        for (pair, key, said) in [
            (&certificate(&home, "attic", now - 86_400 * 500), None, "expired"),
            (&certificate(&home, "cellar", now), None, "of somebody else"),
            (&certificate(&other, "attic", now), None, "error"),
            (&good, Some(&certificate(&home, "attic", now)), "do not belong together"),
        ] {
            put(pair, key.unwrap_or(pair));
            let (status, text) = judged(dir);
            assert!(status == 1 && text.contains(said), "{said}: {status} {text}");
        }
    }
}
