//! The reply to the facts script, parsed.

use super::model::{Facts, Foreign, Origin, WireGuard};
use crate::cluster::Arch;
use std::collections::BTreeMap;

/// `CAP_SYS_RESOURCE` in a capability mask.
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Parses the reply of [`super::script`], which came at `now` (Unix seconds).
///
/// # Errors
/// What is missing or unreadable: a cut reply is never taken for an empty machine.
pub fn parse(reply: &str, now: i64) -> Result<Facts, String> {
    let lines: Vec<(&str, &str)> = reply.lines().filter_map(|l| l.split_once('=')).collect();
    let get = |key: &str| lines.iter().rfind(|(k, _)| *k == key).map_or("", |(_, v)| v.trim());
    whole(get("end"), reply)?;
    let word = |key: &str| Some(get(key).to_owned()).filter(|said| !said.is_empty());
    let container = if get("container").is_empty() { "none" } else { get("container") };
    Ok(Facts {
        os_id: get("os.ID").to_owned(),
        os_like: words(get("os.ID_LIKE")),
        os_version: get("os.VERSION_ID").to_owned(),
        os_name: get("os.PRETTY_NAME").to_owned(),
        arch: Arch::from_uname(get("machine")),
        machine: get("machine").to_owned(),
        userland: get("userland").to_owned(),
        kernel: get("kernel").to_owned(),
        hostname: get("hostname").to_owned(),
        machine_id: get("machine_id").to_owned(),
        container: container.to_owned(),
        systemd_version: get("systemd_version").parse().unwrap_or(0),
        systemd: get("init") == "systemd",
        cgroup_v2: get("cgroup") == "cgroup2fs",
        memory_controller: get("memory_controller") == "yes",
        boot_cmdline: word("boot_cmdline"),
        cap_sys_resource: mask(get("caps"))? & CAP_SYS_RESOURCE != 0,
        conntrack_writable: container == "none" || get("conntrack") == "writable",
        wireguard: if get("wireguard") == "kernel" { WireGuard::Kernel } else { WireGuard::UserSpace },
        nameservers: upstreams(get("resolv"), get("resolved"), get("docker_upstream")),
        loopback_resolver: words(get("resolv")).iter().any(|a| loopback(a)),
        resolved: words(get("resolved")).iter().any(|a| !loopback(a)),
        search: words(get("search")),
        has_etc_hosts: get("hosts") == "yes",
        swap: get("swap") == "yes",
        memory_kib: get("memory_kib").parse().map_err(|e| format!("memory_kib {:?}: {e}", get("memory_kib")))?,
        free_kib: prefixed(&lines, "free.").filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?))).collect(),
        addresses: prefixed(&lines, "addr.").map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        overlay: get("overlay").parse().ok(),
        foreign: prefixed(&lines, "foreign.").map(|(k, v)| Foreign { what: k.to_owned(), evidence: v.to_owned() }).collect(),
        firewalls: prefixed(&lines, "firewall.").map(|(k, _)| k.to_owned()).collect(),
        listening: all(&lines, "listen").filter_map(|v| u16::from_str_radix(&v, 16).ok()).collect(),
        sysctls: settings(get("container_sysctl")),
        locked_sysctls: get("locked_sysctl").split_whitespace().map(|k| k.replace('/', ".")).collect(),
        cluster: word("cluster"),
        bare: get("bare") == "yes",
        authorities: all(&lines, "authority").collect(),
        signer: all(&lines, "signer").next(),
        encryption: all(&lines, "key").filter_map(|n| n.parse().ok()).zip(all(&lines, "key_sum")).collect(),
        cluster_node: word("cluster_node"),
        came_up: prefixed(&lines, "came_up.").map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
        versions: BTreeMap::new(),
        programs: prefixed(&lines, "program.").filter_map(|(name, link)| Some((name.to_owned(), in_store(link)?))).collect(),
        etcd_version: word("etcd_version"),
        etcd_data: get("etcd_data") == "yes" || !get("etcd_aside").is_empty(),
        etcd_aside: word("etcd_aside"),
        etcd_cluster_id: word("etcd_cluster_id"),
        etcd_origin: origin(get("etcd_cluster_id"), get("etcd_origin")),
        peers: all(&lines, "peer").collect(),
        members: None,
        serving: all(&lines, "serving").collect(),
        skew: get("clock").parse::<i64>().map_err(|e| format!("clock {:?}: {e}", get("clock")))? - now,
        modules: get("modules") == "yes",
    })
}

/// `REVISION BEFORE TITLE` of the cluster `id`; `-`: nobody knew the one before.
fn origin(id: &str, text: &str) -> Option<Origin> {
    let (revision, rest) = text.split_once(' ')?;
    let (before, title) = rest.split_once(' ')?;
    let before = Some(before.to_owned()).filter(|b| b != "-");
    Some(Origin { id: id.to_owned(), revision: revision.parse().ok()?, before, title: title.to_owned() })
}

/// Capabilities, in hexadecimal digits.
fn mask(said: &str) -> Result<u64, String> {
    u64::from_str_radix(said, 16).map_err(|e| format!("capability mask {said:?}: {e}"))
}

/// Refuses a reply that ends before its end.
fn whole(end: &str, reply: &str) -> Result<(), String> {
    if end == "yes" { Ok(()) } else { Err(format!("the reply is cut: it ends with {:?}", reply.lines().last().unwrap_or_default())) }
}

/// `../store/SUM/NAME` → the sum.
fn in_store(link: &str) -> Option<String> {
    let sum = link.strip_prefix("../store/")?.split('/').next()?;
    (sum.len() == 64).then(|| sum.to_owned())
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Every value of a key that comes more than once.
fn all<'a>(lines: &'a [(&'a str, &'a str)], key: &'a str) -> impl Iterator<Item = String> + 'a {
    lines.iter().filter(move |(k, _)| *k == key).map(|(_, v)| v.trim().to_owned())
}

fn prefixed<'a>(lines: &'a [(&'a str, &'a str)], prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    lines.iter().filter_map(move |(k, v)| Some((k.strip_prefix(prefix)?, v.trim())))
}

/// `kernel/panic:0 …` → `kernel.panic` → `0`.
fn settings(said: &str) -> BTreeMap<String, String> {
    said.split_whitespace().filter_map(|w| w.split_once(':')).map(|(k, v)| (k.replace('/', "."), v.to_owned())).collect()
}

fn loopback(address: &str) -> bool {
    address.starts_with("127.") || address == "::1"
}

/// Real name servers: those of resolv.conf; behind a loopback resolver those it forwards to.
fn upstreams(resolv: &str, resolved: &str, docker: &str) -> Vec<String> {
    let direct: Vec<String> = words(resolv).into_iter().filter(|a| !loopback(a)).collect();
    if !direct.is_empty() {
        return direct;
    }
    let behind: Vec<String> = words(resolved).into_iter().filter(|a| !loopback(a)).collect();
    if !behind.is_empty() {
        return behind;
    }
    // A container engine's resolver writes `# ExtServers: [host(1.1.1.1) 9.9.9.9]` beside its loopback address.
    docker
        .split_whitespace()
        .map(|w| w.trim_start_matches("host(").trim_end_matches(')').to_owned())
        .filter(|a| a.parse::<std::net::IpAddr>().is_ok() && !loopback(a))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half a minute behind the reply's clock.
    const NOW: i64 = 1_794_999_970;
    const REPLY: &str = "os.PRETTY_NAME=Debian GNU/Linux 13 (trixie)\nos.VERSION_ID=13\nos.ID=debian\nmachine=x86_64\nkernel=6.18\nhostname=debian\nmachine_id=abc\ncontainer=docker\ninit=systemd\ncgroup=tmpfs\nmemory_controller=yes\ncaps=000001fffeffffff\ncontainer_sysctl=kernel/panic:0 vm/overcommit_memory:1 \nlocked_sysctl=vm/panic_on_oom \nresolv=127.0.0.11 \nresolved=\ndocker_upstream=host(172.31.0.2)\nsearch=\nhosts=yes\nmemory_kib=24000000\nfree./=1000\nfree./opt=900\naddr.eth0=198.18.0.11\nclock=1795000000\netcd_cluster_id=\nlisten=0016\nforeign.k3s=/etc/systemd/system/k3s.service (active)\nend=yes\n";

    #[test]
    fn a_container_of_the_lab() {
        let f = parse(REPLY, NOW).unwrap();
        assert_eq!(f.skew, 30);
        assert_eq!(f.arch, Some(Arch::Amd64));
        assert!(!f.cgroup_v2 && f.memory_controller && !f.cap_sys_resource && !f.conntrack_writable);
        assert_eq!(f.wireguard, WireGuard::UserSpace);
        assert_eq!(f.nameservers, ["172.31.0.2"]);
        assert!(f.loopback_resolver);
        assert_eq!(f.listening.iter().copied().collect::<Vec<_>>(), [22]);
        assert_eq!(f.foreign[0].what, "k3s");
        assert_eq!(f.sysctls["vm.overcommit_memory"], "1");
        assert!(f.locked_sysctls.contains("vm.panic_on_oom") && f.locked_sysctls.len() == 1);
        assert_eq!(f.free_kib["/opt"], 900);
    }

    #[test]
    fn a_cut_reply_is_an_error() {
        assert!(parse(&REPLY[..REPLY.len() - 9], NOW).unwrap_err().contains("cut"));
    }

    #[test]
    fn what_a_restore_notes_is_read() {
        let of = |origin: &str| {
            let told = format!("etcd_cluster_id=0123456789abcdef\netcd_origin={origin}\n");
            parse(&REPLY.replace("etcd_cluster_id=\n", &told), NOW).unwrap().etcd_origin
        };
        let origin = |before: Option<&str>| Origin {
            id: "0123456789abcdef".into(),
            revision: 1_795_000_000_000_000,
            before: before.map(str::to_owned),
            title: "the snapshot /srv/a b.db".into(),
        };
        assert_eq!(of("1795000000000000 fedcba9876543210 the snapshot /srv/a b.db"), Some(origin(Some("fedcba9876543210"))));
        assert_eq!(of("1795000000000000 - the snapshot /srv/a b.db"), Some(origin(None)));
        assert_eq!((of(""), of("x - y")), (None, None));
    }

    #[test]
    fn a_machine_without_its_record_is_known_by_its_authority() {
        let reply = |more: &str| parse(&REPLY.replace("end=yes", &format!("foreign.wg0=it exists\n{more}end=yes")), NOW).unwrap();
        let known = |mut facts: Facts| {
            facts.recognise("home", &["a0".into(), "a1".into()]);
            (facts.cluster, facts.foreign.iter().map(|f| f.what.clone()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(known(reply("authority=a1\n")), (Some("home".into()), "k3s".into()));
        assert_eq!(known(reply("authority=b2\nauthority=a1\n")).0, Some("home".into()), "one of two");
        assert_eq!(known(reply("authority=b2\n")).0, None);
        assert_eq!(known(reply("")).0, None);
        assert_eq!(known(reply("authority=a1\ncluster=other\n")).0, Some("other".into()), "what is recorded counts");
    }
}
