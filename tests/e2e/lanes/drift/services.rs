//! Units and the programs that they run.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "a unit stopped",
        &[("cellar", "systemctl stop kube-proxy.service")],
        &["cellar start unit:kube-proxy.service"],
        &[("cellar", "systemctl is-active kube-proxy.service")],
    ),
    row(
        "a unit disabled",
        &[("cellar", "systemctl disable homectl-firewall.service 2>/dev/null")],
        &["cellar update unit:homectl-firewall.service"],
        &[("cellar", "systemctl is-enabled homectl-firewall.service")],
    ),
    row(
        "a unit disabled and stopped",
        &[("garage", "systemctl disable --now kube-router.service 2>/dev/null")],
        &["garage start unit:kube-router.service"],
        &[("garage", "systemctl is-enabled kube-router.service && systemctl is-active kube-router.service")],
    ),
    row(
        "a unit disabled, and its configuration edited",
        &[("garage", "systemctl disable kube-proxy.service 2>/dev/null; sed -i 's/^metricsBindAddress: .*/metricsBindAddress: 127.0.0.1:10299/' /var/lib/kube-proxy/config.yaml")],
        &["garage update file:/var/lib/kube-proxy/config.yaml", "garage restart unit:kube-proxy.service"],
        &[("garage", "systemctl is-enabled kube-proxy.service && systemctl is-active kube-proxy.service")],
    ),
    row(
        "a unit masked, though it has a file: by a link to /dev/null",
        &[("cellar", "ln -sf /dev/null /etc/systemd/system/kube-router.service; systemctl daemon-reload; systemctl stop kube-router.service")],
        &["cellar update file:/etc/systemd/system/kube-router.service", "cellar start unit:kube-router.service"],
        &[("cellar", "systemctl is-active kube-router.service")],
    ),
    row(
        "a unit masked while it runs",
        &[("garage", "ln -sf /dev/null /etc/systemd/system/homectl-api-proxy.service; systemctl daemon-reload")],
        &["garage update file:/etc/systemd/system/homectl-api-proxy.service", "garage restart unit:homectl-api-proxy.service"],
        &[("garage", "systemctl is-active homectl-api-proxy.service")],
    ),
    // Whether the overlay and the packet filter are as configured is asked of the machine, where the files are wrong still.
    Row {
        what: "the overlay's configuration edited, and not loaded",
        by_hand: &[("cellar", "sed -i '0,/^AllowedIPs/s|^AllowedIPs.*|AllowedIPs = 192.0.2.0/24|' /etc/homectl/overlay/wg0.conf")],
        due: &[
            "cellar update file:/etc/homectl/overlay/wg0.conf",
            "cellar run unit:homectl-overlay.service",
            "cellar run wireguard:wg0",
        ],
        held: &["cellar run wireguard:wg0"],
        proof: &[("cellar", "! wg show wg0 allowed-ips | grep 192.0.2")],
    },
    Row {
        what: "the packet filter's rules edited, and loaded",
        by_hand: &[("garage", "sed -i '/dport/d' /etc/homectl/firewall.nft; systemctl reload homectl-firewall.service")],
        due: &[
            "garage update file:/etc/homectl/firewall.nft",
            "garage run unit:homectl-firewall.service",
        ],
        held: &[],
        proof: &[("garage", "nft list chain inet homectl input | grep -E 'dport .*10250.* drop'")],
    },
    row(
        "a packaged unit that has to stay masked, unmasked",
        &[("garage", "systemctl unmask haproxy.service 2>/dev/null")],
        &["garage update unit:haproxy.service"],
        &[("garage", "[ \"$(systemctl is-enabled haproxy.service)\" = masked ]")],
    ),
    row(
        "timers stopped and disabled",
        &[("attic", "systemctl stop homectl-renewal.timer; systemctl disable homectl-etcd-snapshot.timer 2>/dev/null")],
        &["attic start unit:homectl-renewal.timer", "attic update unit:homectl-etcd-snapshot.timer"],
        &[("attic", "systemctl list-timers | grep homectl-renewal.timer; systemctl is-enabled homectl-etcd-snapshot.timer")],
    ),
    row(
        "a program replaced by another of the same size",
        &[(
            "attic",
            "cd \"$(dirname \"$(readlink -f /opt/homectl/bin/kube-scheduler)\")\"; cp -p kube-scheduler new; printf x | dd of=new bs=1 seek=100000 conv=notrunc 2>/dev/null
touch -r kube-scheduler new; mv new kube-scheduler",
        )],
        &["attic update program:kube-scheduler", "attic restart unit:kube-scheduler.service"],
        &[("attic", "cd \"$(dirname \"$(readlink -f /opt/homectl/bin/kube-scheduler)\")\"; sha256sum -c .sums; [ ! \"$(readlink /proc/$(systemctl show -p MainPID --value kube-scheduler)/exe | grep deleted)\" ]")],
    ),
    row(
        "a program replaced, and restarted: what runs is not ours either",
        &[(
            "cellar",
            "cd \"$(dirname \"$(readlink -f /opt/homectl/bin/kubelet)\")\"; cp -p kubelet new; printf changed >>new; mv new kubelet; systemctl restart kubelet.service",
        )],
        &["cellar update program:kubelet", "cellar restart unit:kubelet.service"],
        &[("cellar", "sha256sum \"/proc/$(systemctl show -p MainPID --value kubelet)/exe\" | cut -c 1-64 | grep -f - \"$(dirname \"$(readlink -f /opt/homectl/bin/kubelet)\")/.sums\"")],
    ),
    row(
        "a program's mode changed",
        &[("cellar", "chmod 0700 /opt/homectl/bin/runc")],
        &["cellar update program:runc"],
        &[("cellar", "/opt/homectl/bin/runc --version; [ \"$(stat -L -c %a /opt/homectl/bin/runc)\" = 755 ]")],
    ),
    row(
        "a program deleted from the store",
        &[("garage", "rm -r \"$(dirname \"$(readlink -f /opt/homectl/bin/runc)\")\"")],
        &["garage create program:runc"],
        &[("garage", "/opt/homectl/bin/runc --version")],
    ),
    row(
        "a service's program link repointed",
        &[("attic", "ln -sfn /usr/bin/sleep /opt/homectl/bin/kube-controller-manager")],
        &["attic update link:/opt/homectl/bin/kube-controller-manager", "attic restart unit:kube-controller-manager.service"],
        &[("attic", "readlink /proc/$(systemctl show -p MainPID --value kube-controller-manager)/exe | grep '^/opt/homectl/store/'")],
    ),
];

/// While it is down nothing can be said of objects in the API: each is looked at again when its turn comes, and holds.
pub(super) const API_SERVER: &[Row] = &[Row {
    what: "the API server stopped",
    by_hand: &[("attic", "systemctl stop kube-apiserver.service")],
    due: &["attic start unit:kube-apiserver.service", "cluster deferred *"],
    held: &["cluster deferred *"],
    proof: &[("attic", "k get --raw /readyz")],
}];
