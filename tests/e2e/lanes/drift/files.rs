//! Files, folders, links, accounts, packages, kernel settings, names, the overlay and the packet filter.

use super::{Row, row};

/// Only where the kernel has modules; the lab's seldom has (a container has its host's, and none of its own to unload).
pub(super) const MODULE: &[Row] = &[row(
    "a module unloaded",
    &[("cellar", "modprobe -r br_netfilter")],
    &["cellar run module:br_netfilter", "cellar deferred sysctl:net.bridge.bridge-nf-call-iptables"],
    &[("cellar", "[ \"$(cat /proc/sys/net/bridge/bridge-nf-call-iptables)\" = 1 ]")],
)];

pub(super) const ROWS: &[Row] = &[
    row(
        "a configuration file edited: who reads it restarts",
        &[("cellar", "sed -i 's/^podPidsLimit: .*/podPidsLimit: 77/' /var/lib/kubelet/config.yaml")],
        &["cellar update file:/var/lib/kubelet/config.yaml", "cellar restart unit:kubelet.service"],
        &[("attic", "k get --raw /api/v1/nodes/cellar/proxy/configz | grep '\"podPidsLimit\":4096'")],
    ),
    row(
        "a file that nobody has to hear of edited",
        &[("attic", "echo 'garage 192.0.2.1' >>/etc/homectl/serving.list")],
        &["attic update file:/etc/homectl/serving.list"],
        &[],
    ),
    row(
        "a unit file edited, and read by systemd",
        &[("garage", "sed -i '/^ExecStart=/s/$/ --v=4/' /etc/systemd/system/kube-router.service; systemctl daemon-reload")],
        &["garage update file:/etc/systemd/system/kube-router.service", "garage restart unit:kube-router.service"],
        &[("garage", "! tr '\\0' ' ' </proc/$(systemctl show -p MainPID --value kube-router)/cmdline | grep -e --v=4")],
    ),
    row(
        "a unit file of which no unit of ours is told, edited and read by systemd",
        &[("cellar", "sed -i '/^ExecStart=/s/$/ now/' /etc/systemd/system/homectl-api-wait.service; systemctl daemon-reload")],
        &["cellar update file:/etc/systemd/system/homectl-api-wait.service"],
        &[("cellar", "! systemctl show -p ExecStart homectl-api-wait | grep ' now'")],
    ),
    row(
        "a kubeconfig edited",
        &[("garage", "sed -i 's/127.0.0.1:7443/192.0.2.1:7443/' /etc/kubernetes/kubelet.conf")],
        &["garage update file:/etc/kubernetes/kubelet.conf", "garage restart unit:kubelet.service"],
        &[("attic", "k get --raw /api/v1/nodes/garage/proxy/healthz")],
    ),
    row(
        "modes changed: nobody restarts",
        &[
            ("cellar", "chmod 0644 /etc/kubernetes/kube-proxy.conf"),
            ("attic", "chmod 0644 /etc/kubernetes/pki/apiserver.key; chmod 0600 /etc/kubernetes/pki/apiserver.crt"),
        ],
        &[
            "cellar update file:/etc/kubernetes/kube-proxy.conf",
            "attic update file:/etc/kubernetes/pki/apiserver.key",
            "attic update certificate:/etc/kubernetes/pki/apiserver.crt",
        ],
        &[],
    ),
    row(
        "an owner changed",
        &[("garage", "chown admin:admin /etc/systemd/system/kube-proxy.service")],
        &["garage update file:/etc/systemd/system/kube-proxy.service"],
        &[],
    ),
    row("a file deleted", &[("attic", "rm /opt/homectl/lib/etcd-snapshot")], &["attic create file:/opt/homectl/lib/etcd-snapshot"], &[]),
    row(
        "the record of whose machine it is deleted: it is known by the authority that it trusts",
        &[("garage", "rm /etc/homectl/cluster")],
        &["garage create file:/etc/homectl/cluster"],
        &[("garage", "grep -x cluster=lab /etc/homectl/cluster")],
    ),
    row(
        "a configuration file deleted",
        &[("garage", "rm /etc/containerd/config.toml")],
        &["garage create file:/etc/containerd/config.toml", "garage restart unit:containerd.service"],
        &[("garage", "/opt/homectl/bin/ctr version")],
    ),
    row(
        "modes of folders changed, etcd's data among them",
        &[("attic", "chmod 0755 /var/lib/etcd"), ("cellar", "chmod 0777 /etc/homectl/overlay")],
        &["attic update dir:/var/lib/etcd", "cellar update dir:/etc/homectl/overlay"],
        &[("attic", "[ \"$(stat -c %a:%U /var/lib/etcd)\" = 700:etcd ]")],
    ),
    row(
        "a folder deleted",
        &[("garage", "rm -r /etc/containerd/certs.d/docker.io")],
        &["garage create dir:/etc/containerd/certs.d/docker.io", "garage create file:/etc/containerd/certs.d/docker.io/hosts.toml"],
        &[],
    ),
    row(
        "links of programs repointed",
        &[("attic", "ln -sfn /usr/bin/true /opt/homectl/bin/kubectl.new; mv -T /opt/homectl/bin/kubectl.new /opt/homectl/bin/kubectl")],
        &["attic update link:/opt/homectl/bin/kubectl"],
        &[("attic", "k version --client | grep v1.36.3")],
    ),
    row("a link deleted", &[("cellar", "rm /opt/cni/bin/portmap")], &["cellar create link:/opt/cni/bin/portmap"], &[]),
    row(
        "accounts deleted, one of them of a running service",
        &[("attic", "userdel homectl-approver; userdel -f kube-scheduler 2>/dev/null; ! getent passwd kube-scheduler")],
        &["attic create user:homectl-approver", "attic create user:kube-scheduler"],
        &[],
    ),
    row(
        "a package removed",
        &[("garage", "dpkg -r --force-depends ca-certificates >/dev/null 2>&1")],
        &["garage create packages"],
        &[("garage", "dpkg-query -W -f '${Status}' ca-certificates | grep -x 'install ok installed'")],
    ),
    row(
        "a kernel setting changed, and one in the file only",
        &[("garage", "echo 0 >/proc/sys/net/ipv4/ip_forward"), ("cellar", "sed -i '/ip_forward/d' /etc/sysctl.d/99-zz-homectl.conf")],
        &["garage update sysctl:net.ipv4.ip_forward", "cellar update file:/etc/sysctl.d/99-zz-homectl.conf"],
        &[],
    ),
    row(
        "the hostname changed",
        &[("cellar", "hostname printer; echo printer >/etc/hostname")],
        &["cellar run hostname"],
        &[("cellar", "[ \"$(hostname)\" = cellar ] && [ \"$(cat /etc/hostname)\" = cellar ]")],
    ),
    row(
        "a line of /etc/hosts removed",
        &[("garage", "sed '/ garage /d' /etc/hosts >/tmp/hosts; cat /tmp/hosts >/etc/hosts; rm /tmp/hosts")],
        &["garage run hostname-resolves"],
        &[("garage", "getent hosts garage")],
    ),
    row(
        "a peer of the overlay removed",
        &[("attic", "wg set wg0 peer \"$(wg show wg0 peers | head -n 1)\" remove")],
        &["attic run wireguard:wg0"],
        &[("attic", "[ \"$(wg show wg0 peers | wc -l)\" = 2 ]")],
    ),
    row(
        "a peer's allowed addresses changed",
        &[("cellar", "wg set wg0 peer \"$(wg show wg0 peers | head -n 1)\" allowed-ips 192.0.2.0/24")],
        &["cellar run wireguard:wg0"],
        &[("cellar", "! wg show wg0 allowed-ips | grep 192.0.2")],
    ),
    row(
        "a route removed, and one too many",
        &[(
            "garage",
            "ip route del \"$(ip -4 -o route show dev wg0 | awk '!/kernel/ { print $1; exit }')\" dev wg0; ip route add 192.0.2.0/24 dev wg0",
        )],
        &["garage run wireguard:wg0"],
        &[("garage", "[ \"$(ip -4 -o route show dev wg0 | grep -vc kernel)\" = 2 ]")],
    ),
    row(
        "the packet filter's table flushed, a rule of it deleted, all of it deleted",
        &[
            ("garage", "nft flush table inet homectl"),
            (
                "cellar",
                "nft delete rule inet homectl input handle \"$(nft -a list chain inet homectl input | sed -n 's/.*dport.*# handle //p')\"",
            ),
            ("attic", "nft delete table inet homectl"),
        ],
        &["garage run firewall:homectl", "cellar run firewall:homectl", "attic run firewall:homectl"],
        &[("cellar", "nft list chain inet homectl input | grep -E 'dport .*10250.* drop'")],
    ),
];
