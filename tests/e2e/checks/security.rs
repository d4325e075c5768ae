//! What is closed: certificates, secrets at rest, files, flags, ports.

use super::Cluster;
use super::machines;
use crate::Result;
use crate::lab::mirror;
use crate::scene::{at_once, ensure};
use crate::shell::run;
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

const PRIVILEGED: &str = include_str!("../manifests/privileged.yaml");
const MODES: &str = include_str!("../scripts/modes.sh");
const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// Kubelets and API servers show certificates of the cluster's CA for the address or name they are called by.
pub(crate) fn serving_certificates(cluster: &Cluster) -> Result {
    let from = cluster.control_plane();
    let mut calls = Vec::new();
    for (name, address) in machines::ready(cluster)? {
        calls.push((from, format!("-connect {address}:10250 -verify_ip {address}")));
        if cluster.nodes.iter().any(|node| node.name == name && node.control_plane) {
            calls.push((from, format!("-connect {address}:6443 -verify_ip {address}")));
        }
    }
    for node in cluster.names() {
        calls.push((node, "-connect 127.0.0.1:7443 -verify_hostname kubernetes".to_owned()));
    }
    for (node, call) in calls {
        let said = cluster.lab.sh(node, &format!("openssl s_client {call} -CAfile {CA} -verify_return_error </dev/null 2>&1"))?;
        ensure(said.contains("Verify return code: 0 (ok)"), || format!("{node}: openssl {call}: {said}"))?;
    }
    Ok(())
}

/// The baseline holds where nobody asked for anything.
pub(crate) fn baseline(cluster: &Cluster) -> Result {
    let ran = cluster.kubectl.run(&["apply", "-f", "-"], PRIVILEGED, Duration::from_secs(30))?.with(1)?;
    ensure(ran.err.contains("violates PodSecurity \"baseline"), || ran.seen())
}

/// Anonymous callers learn the API's health and nothing else.
pub(crate) fn anonymous(cluster: &Cluster) -> Result {
    let server = cluster.kubectl.server()?;
    let ask = |path: &str| {
        let mut command = Command::new("curl");
        command.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", &format!("{server}{path}")]);
        run(&mut command, &[], Duration::from_secs(15))?.ok()
    };
    for (path, due) in [("/readyz", "200"), ("/api/v1/namespaces", "401"), ("/version", "401")] {
        let code = ask(path)?;
        ensure(code == due, || format!("{path} answers {code} to a stranger, not {due}"))?;
    }
    Ok(())
}

/// A script's prefix: upstream's etcdctl, not the one that homectl put there, with the machine's certificates.
pub(crate) fn etcdctl(cluster: &Cluster, node: &str) -> Result<String> {
    let path = "/tmp/e2e-etcdctl";
    if cluster.lab.sh_ran(node, &format!("test -x {path}"))?.code != Some(0) {
        let releases = mirror().join("github.com/etcd-io/etcd/releases/download");
        let unpack = format!(
            "tar=$(ls {}/*/etcd-*-linux-amd64.tar.gz | sort -V | tail -n 1) && tar xzf \"$tar\" -O --wildcards '*/etcdctl' | base64 -w0",
            releases.display()
        );
        let text = run(Command::new("bash").args(["-c", &unpack]), &[], Duration::from_mins(1))?.ok()?;
        cluster.lab.put(node, "/tmp/e2e-etcdctl.b64", text.as_bytes(), "600")?;
        cluster.lab.sh(node, &format!("base64 -d /tmp/e2e-etcdctl.b64 >{path} && rm /tmp/e2e-etcdctl.b64 && chmod 700 {path}"))?;
    }
    let pki = "/etc/kubernetes/pki";
    Ok(format!(
        "{path} --command-timeout=5s --endpoints=https://$(ip -4 -o addr show wg0 | awk '{{sub(\"/.*\", \"\", $4); print $4}}'):2379 \
         --cacert={pki}/etcd/ca.crt --cert={pki}/apiserver-etcd-client.crt --key={pki}/apiserver-etcd-client.key"
    ))
}

/// What etcd holds of a secret is not the secret.
pub(crate) fn at_rest(cluster: &Cluster) -> Result {
    let kubectl = &cluster.kubectl;
    kubectl.ok(&["delete", "secret", "hidden", "-n", "e2e", "--ignore-not-found"])?;
    kubectl.ok(&["create", "secret", "generic", "hidden", "-n", "e2e", "--from-literal=word=plainly-visible"])?;
    let node = cluster.control_plane();
    let get = format!("{} get /registry/secrets/e2e/hidden --print-value-only | tr -c '[:print:]' '.'", etcdctl(cluster, node)?);
    let stored = cluster.lab.sh(node, &get)?;
    ensure(stored.starts_with("k8s:enc:secretbox:v1:"), || format!("etcd holds: {}", stored.chars().take(80).collect::<String>()))?;
    ensure(!stored.contains("plainly-visible"), || "etcd holds the secret in clear".into())?;
    let read = kubectl.ok(&["get", "secret", "hidden", "-n", "e2e", "-o", "jsonpath={.data.word}"])?;
    ensure(read == "cGxhaW5seS12aXNpYmxl", || format!("read back: {read}"))?;
    // The audit log tells of it, and not what is in it.
    let log = cluster.lab.sh(node, "cat /var/log/kubernetes/audit/*.log")?;
    let lines = log.lines().filter(|l| l.contains("\"resource\":\"secrets\"") && l.contains("\"name\":\"hidden\"")).count();
    ensure(lines > 0 && !log.contains("plainly-visible") && !log.contains("cGxhaW5seS12aXNpYmxl"), || {
        format!("the audit log has {lines} lines of the secret, of {} in all", log.lines().count())
    })
}

/// CIS 1.1.x and 4.1.x, as `stat` has them.
pub(crate) fn modes(cluster: &Cluster) -> Result {
    let every = "\
        /etc/systemd/system/kubelet.service 600 root:root\n/etc/kubernetes/kube-proxy.conf 600 root:root\n\
        /etc/kubernetes/kubelet.conf 600 root:root\n/etc/kubernetes/pki/ca.crt 644 root:root\n/etc/kubernetes/pki 755 root:root\n\
        /var/lib/kubelet/config.yaml 600 root:root\n/var/lib/kubelet/pki 700 root:root\n/var/lib/kubelet/pki/*.pem 600 root:root\n\
        /etc/cni/net.d/* 600 root:root\n/etc/homectl/overlay 700 root:root\n/etc/homectl/overlay/* 600 root:root\n";
    let control_plane = "\
        /etc/systemd/system/kube-apiserver.service 600 root:root\n/etc/systemd/system/kube-controller-manager.service 600 root:root\n\
        /etc/systemd/system/kube-scheduler.service 600 root:root\n/etc/systemd/system/etcd.service 600 root:root\n\
        /var/lib/etcd 700 etcd:etcd\n/etc/kubernetes/admin.conf 600 root:root\n/etc/kubernetes/scheduler.conf 600 root:root\n\
        /etc/kubernetes/controller-manager.conf 600 root:root\n/etc/kubernetes/pki/*.crt 644 root:root\n\
        /etc/kubernetes/pki/etcd/*.crt 644 root:root\n/etc/kubernetes/pki/*.key 600 root:root\n/etc/kubernetes/pki/etcd/*.key 600 root:root\n\
        /etc/kubernetes/pki/etcd 755 root:root\n";
    at_once(&cluster.nodes, |node| {
        let asked = if node.control_plane { format!("{every}{control_plane}") } else { every.to_owned() };
        let wrong =
            cluster.lab.sh(node.name, &format!("cat >/run/e2e-asked <<'@'\n{asked}@\n({MODES}) </run/e2e-asked; rm /run/e2e-asked"))?;
        ensure(wrong.is_empty(), || format!("{}: {}", node.name, wrong.trim().replace('\n', "; ")))?;
        // No key of the control plane has a business on a worker, and none may be read by others anywhere.
        let keys = cluster.lab.sh(node.name, "find /etc /opt /var/lib/kubelet/pki /var/lib/homectl -xdev \\( -name '*.key' -o -name '*.pem' -o -name '*.conf' -path '*kubernetes*' \\) -perm /077 -type f ! -path '/etc/ssl/*' 2>/dev/null")?;
        ensure(keys.is_empty(), || format!("{}: readable by others: {}", node.name, keys.trim().replace('\n', ", ")))?;
        if node.control_plane {
            return Ok(());
        }
        let keys = cluster.lab.sh(node.name, "find /etc/kubernetes -name '*.key'")?;
        ensure(keys.is_empty(), || format!("{}: keys on a worker: {keys}", node.name))
    })
}

/// CIS 1.2.x, 1.3.x, 1.4.x, 2.x, 4.2.x and 4.3.1: what the processes were really started with.
pub(crate) fn flags(cluster: &Cluster) -> Result {
    let mut wrong = Vec::new();
    for node in &cluster.nodes {
        let processes: &[(&str, &[&str], &[&str])] = if node.control_plane { &[API, CONTROLLERS, SCHEDULER, ETCD] } else { &[] };
        for (program, due, forbidden) in processes {
            let line = cluster.lab.sh(node.name, &format!("tr '\\0' '\\n' </proc/$(pidof -s {program})/cmdline"))?;
            let given: Vec<&str> = line.lines().collect();
            let has = |flag: &&&str| given.iter().any(|g| if flag.ends_with('=') { g.starts_with(**flag) } else { g == *flag });
            wrong.extend(due.iter().filter(|flag| !has(flag)).map(|flag| format!("{}: {program} lacks {flag}", node.name)));
            wrong.extend(forbidden.iter().filter(has).map(|flag| format!("{}: {program} has {flag}", node.name)));
        }
        // 4.3.1: only the machine itself reads what kube-proxy tells.
        let metrics = cluster.lab.sh(node.name, "ss -Hltn 'sport = :10249' | awk '{print $4}'")?;
        wrong.extend((metrics.trim() != "127.0.0.1:10249").then(|| format!("{}: kube-proxy's metrics: {metrics:?}", node.name)));
        let user = cluster.lab.sh(
            node.name,
            "ps -eo user:32=,comm= | awk '$2 ~ /^(etcd|kube-apiserver|kube-controller|kube-scheduler)/ && $1 == \"root\"'",
        )?;
        wrong.extend(user.lines().map(|line| format!("{}: runs as root: {line}", node.name)));
    }
    wrong.extend(kubelets(cluster)?);
    ensure(wrong.is_empty(), || wrong.join("\n      "))
}

type Flags = (&'static str, &'static [&'static str], &'static [&'static str]);

const API: Flags = (
    "kube-apiserver",
    &[
        "--kubelet-certificate-authority=",
        "--kubelet-client-certificate=",
        "--kubelet-client-key=",
        "--authorization-mode=Node,RBAC",
        "--profiling=false",
        "--enable-admission-plugins=NodeRestriction,EventRateLimit,DenyServiceExternalIPs",
        "--service-account-lookup=true",
        "--audit-log-path=",
        "--audit-log-maxage=30",
        "--audit-log-maxbackup=10",
        "--audit-log-maxsize=100",
        "--audit-policy-file=",
        "--service-account-key-file=",
        "--etcd-certfile=",
        "--etcd-keyfile=",
        "--etcd-cafile=",
        "--tls-cert-file=",
        "--tls-private-key-file=",
        "--client-ca-file=",
        "--encryption-provider-config=",
        CIPHERS,
        "--service-account-extend-token-expiration=false",
        "--request-timeout=",
        "--admission-control-config-file=",
    ],
    &["--token-auth-file=", "--anonymous-auth=true", "--disable-admission-plugins="],
);
/// Only suites with forward secrecy and authenticated encryption.
const CIPHERS: &str = "--tls-cipher-suites=\
    TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,\
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,\
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";
const CONTROLLERS: Flags = (
    "kube-controller-manager",
    &[
        "--profiling=false",
        "--use-service-account-credentials=true",
        "--service-account-private-key-file=",
        "--root-ca-file=",
        "--bind-address=127.0.0.1",
        "--terminated-pod-gc-threshold=",
    ],
    &[],
);
const SCHEDULER: Flags = ("kube-scheduler", &["--profiling=false", "--bind-address=127.0.0.1"], &[]);
const ETCD: Flags = (
    "etcd",
    &[
        "--cert-file=",
        "--key-file=",
        "--peer-cert-file=",
        "--peer-key-file=",
        "--client-cert-auth=true",
        "--peer-client-cert-auth=true",
        "--trusted-ca-file=",
    ],
    &["--auto-tls=true", "--peer-auto-tls=true"],
);

/// The configuration that each kubelet says it runs with.
fn kubelets(cluster: &Cluster) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for node in cluster.names() {
        let path = format!("/api/v1/nodes/{node}/proxy/configz");
        let text = cluster.kubectl.ok(&["get", "--raw", &path])?;
        let all: serde_json::Value = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
        let config = &all["kubeletconfig"];
        let mut hold = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{node}: kubelet: {what}"));
            }
        };
        hold(config["authentication"]["anonymous"]["enabled"] == false, "lets anonymous callers in");
        hold(config["authorization"]["mode"] == "Webhook", "does not ask the API who may call");
        hold(config["readOnlyPort"].as_u64().unwrap_or(0) == 0, "has a read-only port");
        hold(config["rotateCertificates"] == true, "does not rotate certificates");
        hold(config["serverTLSBootstrap"] == true, "makes its own serving certificate");
        hold(config["seccompDefault"] == true, "has no seccomp default");
        hold(config["podPidsLimit"].as_i64().unwrap_or(-1) > 0, "has no limit of processes");
        hold(config["address"].as_str().is_some_and(|a| a.starts_with("10.77.0.")), "listens elsewhere than on the overlay");
        hold(config["makeIPTablesUtilChains"] == true, "makes no chains");
        hold(config["tlsCipherSuites"].as_array().is_some_and(|s| s.len() == 6), "has no list of cipher suites");
    }
    Ok(wrong)
}

/// From a neighbour on the LAN, only SSH and the API are open; on the machines, nothing else listens there.
pub(crate) fn ports(cluster: &Cluster) -> Result {
    let spare = cluster.spare.ok_or("this lane has no neighbour")?;
    cluster.lab.sh(spare, "command -v nmap >/dev/null || { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends nmap; } >/dev/null 2>&1")?;
    at_once(&cluster.nodes, |node| {
        let address = cluster.lab.address(node.host);
        let scan = format!("nmap -n -Pn -sT -T5 -p- --open --host-timeout 150s -oG - {address}");
        let said = cluster.lab.sh(spare, &scan)?;
        let open = open_ports(&said);
        let due: BTreeSet<u16> = if node.control_plane { [22, 6443].into() } else { [22].into() };
        ensure(said.contains("Nmap done") && open == due, || format!("{}: open on the LAN: {open:?}, not {due:?}: {said}", node.name))?;
        // What listens on every address or on the LAN's, as the machine itself sees it.
        let udp = cluster.lab.sh(node.name, "ss -Hlun | awk '{print $4}'")?;
        let udp: Vec<&str> = udp.lines().filter(|a| !closed_in(a)).collect();
        ensure(udp.iter().all(|a| a.ends_with(":51820")), || format!("{}: UDP on the LAN: {udp:?}", node.name))
    })
}

fn open_ports(grepable: &str) -> BTreeSet<u16> {
    let list = grepable.lines().filter_map(|line| line.split("Ports: ").nth(1)).flat_map(|ports| ports.split(", "));
    list.filter(|port| port.contains("/open/")).filter_map(|port| port.split('/').next()?.trim().parse().ok()).collect()
}

/// Whether a listener's address is of this machine only, of the overlay or of the pods.
fn closed_in(address: &str) -> bool {
    ["127.", "[::1]", "10.77.", "10.78.", "10.79."].iter().any(|start| address.starts_with(start))
}
