//! What homectl does not overrule: it says what stands in the way, leaves the whole machine as it is, and ends with 1.

use super::By;

/// One obstacle, with the drift that it keeps from being mended.
pub(crate) struct Row {
    pub(super) what: &'static str,
    pub(super) by_hand: &'static [By],
    /// What the plan must show.
    pub(super) due: &'static [&'static str],
    /// Words of the reason, in the plan's text and in what apply says.
    pub(super) says: &'static [&'static str],
    /// Done by hand, too, when it has been seen.
    pub(super) undo: &'static [By],
    /// What is due then.
    pub(super) then: &'static [&'static str],
}

pub(super) const ROWS: &[Row] = &[
    Row {
        what: "a file replaced by a link",
        by_hand: &[("cellar", "mv /etc/homectl/api-proxy.cfg /tmp; ln -s /tmp/api-proxy.cfg /etc/homectl/api-proxy.cfg")],
        // What lies there is newer than what runs. It will not come to that: nothing is done on this machine.
        due: &["cellar blocked file:/etc/homectl/api-proxy.cfg", "cellar run unit:homectl-api-proxy.service"],
        says: &["/etc/homectl/api-proxy.cfg is a link to /tmp/api-proxy.cfg, wanted a regular file"],
        undo: &[("cellar", "mv -T /tmp/api-proxy.cfg /etc/homectl/api-proxy.cfg")],
        then: &[],
    },
    Row {
        what: "a file replaced by a folder",
        by_hand: &[("cellar", "mv /etc/homectl/resolv.conf /tmp; mkdir /etc/homectl/resolv.conf")],
        due: &["cellar blocked file:/etc/homectl/resolv.conf"],
        says: &["/etc/homectl/resolv.conf is a directory, wanted a regular file"],
        undo: &[("cellar", "rmdir /etc/homectl/resolv.conf; mv /tmp/resolv.conf /etc/homectl/resolv.conf")],
        then: &[],
    },
    Row {
        what: "a folder replaced by a link, and a link by a file",
        by_hand: &[(
            "cellar",
            "mv /var/lib/kube-proxy /var/lib/elsewhere; ln -s elsewhere /var/lib/kube-proxy; rm /opt/cni/bin/bridge; echo >/opt/cni/bin/bridge",
        )],
        due: &["cellar blocked dir:/var/lib/kube-proxy", "cellar blocked link:/opt/cni/bin/bridge"],
        says: &["/var/lib/kube-proxy is a link to elsewhere, wanted a directory", "/opt/cni/bin/bridge is a regular file, wanted a link"],
        undo: &[("cellar", "rm /var/lib/kube-proxy /opt/cni/bin/bridge; mv /var/lib/elsewhere /var/lib/kube-proxy")],
        then: &["cellar create link:/opt/cni/bin/bridge"],
    },
    Row {
        what: "a drop-in that systemd has read, and one that it has not",
        by_hand: &[
            (
                "cellar",
                "mkdir /etc/systemd/system/kube-proxy.service.d; printf '[Service]\\nNice=5\\n' >/etc/systemd/system/kube-proxy.service.d/own.conf; systemctl daemon-reload",
            ),
            (
                "cellar",
                "mkdir /etc/systemd/system/kubelet.service.d; printf '[Service]\\nNice=5\\n' >/etc/systemd/system/kubelet.service.d/own.conf",
            ),
        ],
        due: &["cellar blocked unit:kube-proxy.service", "cellar blocked unit:kubelet.service"],
        says: &[
            "foreign drop-ins change it: /etc/systemd/system/kube-proxy.service.d/own.conf",
            "foreign drop-ins change it: /etc/systemd/system/kubelet.service.d/own.conf",
        ],
        undo: &[(
            "cellar",
            "rm -r /etc/systemd/system/kube-proxy.service.d /etc/systemd/system/kubelet.service.d; systemctl daemon-reload",
        )],
        then: &[],
    },
    Row {
        what: "a unit of the same name that a package owns, and ours gone",
        by_hand: &[(
            "cellar",
            "printf '[Service]\\nExecStart=/usr/bin/sleep 100000\\n' >/usr/lib/systemd/system/kube-router.service; rm /etc/systemd/system/kube-router.service; systemctl daemon-reload",
        )],
        due: &["cellar create file:/etc/systemd/system/kube-router.service", "cellar blocked unit:kube-router.service"],
        says: &["a unit of the same name is at /usr/lib/systemd/system/kube-router.service"],
        undo: &[("cellar", "rm /usr/lib/systemd/system/kube-router.service; systemctl daemon-reload")],
        then: &["cellar create file:/etc/systemd/system/kube-router.service", "cellar restart unit:kube-router.service"],
    },
    Row {
        what: "what could be mended beside it: it waits",
        by_hand: &[("cellar", "chmod 0755 /etc/homectl/overlay")],
        due: &["cellar update dir:/etc/homectl/overlay"],
        says: &[],
        undo: &[],
        then: &["cellar update dir:/etc/homectl/overlay"],
    },
    Row {
        what: "an immutable file",
        by_hand: &[("garage", "echo '# mine' >>/etc/homectl/api-proxy.cfg; chattr +i /etc/homectl/api-proxy.cfg")],
        due: &["garage blocked file:/etc/homectl/api-proxy.cfg", "garage run unit:homectl-api-proxy.service"],
        says: &["content differs, but /etc/homectl/api-proxy.cfg is immutable"],
        undo: &[("garage", "chattr -i /etc/homectl/api-proxy.cfg")],
        then: &["garage update file:/etc/homectl/api-proxy.cfg", "garage run unit:homectl-api-proxy.service"],
    },
    Row {
        what: "a missing file in an immutable folder, and one in a folder that only grows",
        by_hand: &[("garage", "rm /etc/homectl/overlay/link /opt/cni/bin/portmap; chattr +i /etc/homectl/overlay; chattr +a /opt/cni/bin")],
        due: &[
            "garage blocked file:/etc/homectl/overlay/link",
            "garage deferred wireguard:wg0",
            "garage blocked link:/opt/cni/bin/portmap",
        ],
        says: &["missing, but /etc/homectl/overlay is immutable", "missing, but /opt/cni/bin is append-only"],
        undo: &[("garage", "chattr -i /etc/homectl/overlay; chattr -a /opt/cni/bin")],
        then: &[
            "garage create file:/etc/homectl/overlay/link",
            "garage run unit:homectl-overlay.service",
            "garage deferred wireguard:wg0",
            "garage create link:/opt/cni/bin/portmap",
        ],
    },
    Row {
        what: "an immutable file that nothing is due of: nobody minds",
        by_hand: &[("garage", "chattr +i /etc/homectl/cluster")],
        due: &[],
        says: &[],
        undo: &[("garage", "chattr -i /etc/homectl/cluster")],
        then: &[],
    },
    Row {
        what: "a read-only /etc, and an account that somebody logs in with",
        by_hand: &[(
            "attic",
            "usermod --shell /bin/bash kube-scheduler; chmod 0644 /etc/homectl/kubelet-labels; systemctl disable homectl-approver.timer 2>/dev/null; hostname printer; mount --bind /etc /etc; mount -o remount,bind,ro /etc",
        )],
        due: &[
            "attic blocked file:/etc/homectl/kubelet-labels",
            "attic blocked unit:homectl-approver.timer",
            "attic blocked hostname",
            "attic blocked user:kube-scheduler",
        ],
        says: &[
            "mode 0644, wanted 0600, but /etc/homectl/kubelet-labels is on a read-only file system",
            "the user kube-scheduler has a login shell",
        ],
        undo: &[("attic", "umount /etc; usermod --shell /usr/sbin/nologin kube-scheduler")],
        then: &["attic update file:/etc/homectl/kubelet-labels", "attic update unit:homectl-approver.timer", "attic run hostname"],
    },
];
