//! What everything else stands on: directories, the record of whose machine this is, kernel settings, `/etc/hosts`,
//! the cluster's CA certificate.

use super::pki::certificate;
use super::{Ctx, Step, api_proxy, kube_proxy, kube_router, kubelet};
use crate::cluster::Policy;
use crate::error::Result;
use crate::pki::Ca;
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Module, Sysctl, Want};

/// Kernel settings that the kubelet insists on (`protectKernelDefaults`).
const KUBELET: [(&str, &str); 6] = [
    ("kernel.keys.root_maxbytes", "25000000"),
    ("kernel.keys.root_maxkeys", "1000000"),
    ("kernel.panic", "10"),
    ("kernel.panic_on_oops", "1"),
    ("vm.overcommit_memory", "1"),
    ("vm.panic_on_oom", "0"),
];

/// A home machine with a dozen pods runs out of the kernel's 128 watchers.
const INOTIFY: [(&str, &str); 2] = [("fs.inotify.max_user_instances", "8192"), ("fs.inotify.max_user_watches", "1048576")];

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    // First here and so last of what reset removes: as long as anything of ours is there, the machine says whose it is.
    let mut wants = vec![Want::Dir(Dir::new("/etc/homectl")), Want::File(File::text("/etc/homectl/cluster", record(ctx)?))];
    wants.extend(directories());
    wants.push(volumes());
    wants.extend(kernel(ctx)?);
    wants.push(hosts()?);
    wants.push(Want::File(certificate_authority(ctx)));
    Ok(Some(Step {
        id: ctx.id("base"),
        title: "directories, kernel settings".into(),
        after: Vec::new(),
        wants,
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// Whether the kubelet's demands on the kernel are or can be met on this machine.
pub(super) fn kernel_defaults(ctx: &Ctx) -> bool {
    KUBELET.iter().all(|(key, value)| !foreign(ctx, key, value))
}

pub(super) fn warnings(ctx: &Ctx) -> Vec<String> {
    let locked: Vec<&str> = KUBELET.iter().filter(|(key, value)| foreign(ctx, key, value)).map(|(key, _)| *key).collect();
    if locked.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "{}: {} belong to the machine's host and are not as the kubelet wants them, so it runs without protectKernelDefaults; set them on the host",
        ctx.node.name,
        locked.join(", ")
    )]
}

/// Whether a setting is neither as wanted nor ours to set.
fn foreign(ctx: &Ctx, key: &str, value: &str) -> bool {
    ctx.facts.locked_sysctls.contains(key) && ctx.facts.sysctls.get(key).is_none_or(|seen| seen != value)
}

/// What reset removes last. Users' volumes and etcd's snapshots lie below /var/lib/homectl: only what is empty goes there.
fn directories() -> Vec<Want> {
    [
        Dir::new("/var/lib/homectl"),
        Dir::new("/var/lib/homectl/sysctl"),
        Dir::new("/opt/homectl").tree(),
        Dir::new("/opt/homectl/store"),
        Dir::new("/opt/homectl/bin"),
        Dir::new("/opt/homectl/lib"),
        Dir::new("/etc/kubernetes"),
        Dir::new("/etc/kubernetes/pki"),
    ]
    .map(Want::Dir)
    .into()
}

/// The folder of volumes is made by who makes volumes. Reset leaves it, unless it is empty.
fn volumes() -> Want {
    let folder = "/var/lib/homectl/local-storage";
    let undo = format!("[ ! -d {folder} ] || rmdir --ignore-fail-on-non-empty {folder}");
    Want::Guard(Guard::new("volumes", "users' volumes are left alone", "exit 0", ":").undo(undo))
}

fn record(ctx: &Ctx) -> Result<String> {
    render("base/cluster.j2", context! { cluster => ctx.cluster.name.as_str(), node => ctx.node.name.as_str() })
}

fn kernel(ctx: &Ctx) -> Result<Vec<Want>> {
    let mut settings = vec![("net.ipv4.ip_forward", "1")];
    settings.extend(KUBELET);
    settings.extend(INOTIFY);
    settings.retain(|(key, _)| !ctx.facts.locked_sysctls.contains(*key));
    let mut wants = Vec::new();
    // Policies between pods of one machine need bridged packets to pass the packet filter.
    if ctx.cluster.network.policy == Policy::KubeRouter {
        settings.push(("net.bridge.bridge-nf-call-iptables", "1"));
        wants.push(Want::File(File::text("/etc/modules-load.d/homectl.conf", render("base/modules.conf.j2", context! {})?)));
        wants.push(Want::Module(Module::new("br_netfilter")));
    }
    settings.sort_unstable();
    // The last word at boot: Debian's 99-sysctl.conf is the user's /etc/sysctl.conf.
    let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    wants.extend(settings.into_iter().map(|(key, value)| Want::Sysctl(Sysctl::new(key, value))));
    // After the settings themselves: a machine that boots in between must not lose what they were before.
    wants.push(Want::File(File::text("/etc/sysctl.d/99-zz-homectl.conf", render("base/sysctl.conf.j2", context! { lines })?)));
    Ok(wants)
}

/// Here and not with the control plane's keys, since every node verifies with it.
fn certificate_authority(ctx: &Ctx) -> File {
    let readers = [api_proxy::UNIT, kubelet::UNIT, kube_proxy::UNIT].into_iter().chain(kube_router::service(ctx));
    let file = readers.fold(certificate(Ca::Cluster, &ctx.secrets.trusted(Ca::Cluster)), File::restarts);
    if ctx.node.is_control_plane() { file.restarts("kube-apiserver.service").restarts("kube-controller-manager.service") } else { file }
}

/// Container engines cannot start a pod without `/etc/hosts`. One that is there is the user's and stays as it is.
fn hosts() -> Result<Want> {
    let text = data_encoding::BASE64.encode(render("base/hosts.j2", context! {})?.as_bytes());
    let run = format!("put /etc/hosts 0644 root:root <<'@homectl'\n{text}\n@homectl\n");
    Ok(Want::Guard(
        Guard::new("hosts", "/etc/hosts is there", "[ -s /etc/hosts ] || { echo '/etc/hosts is missing or empty'; exit 1; }", run)
            .writes(&["/etc/hosts"]),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    fn keys(fixture: &Fixture) -> Vec<String> {
        let wants = step(&fixture.ctx("attic")).unwrap().unwrap().wants;
        wants.iter().filter_map(|w| if let Want::Sysctl(s) = w { Some(s.key.clone()) } else { None }).collect()
    }

    #[test]
    fn settings_of_a_containers_host_are_left_out() {
        let mut fixture = Fixture::one();
        assert!(keys(&fixture).contains(&"kernel.panic".to_owned()) && kernel_defaults(&fixture.ctx("attic")));
        let facts = fixture.facts.get_mut("attic").unwrap();
        facts.locked_sysctls.insert("kernel.panic".into());
        facts.sysctls.insert("kernel.panic".into(), "10".into());
        assert!(!keys(&fixture).contains(&"kernel.panic".to_owned()));
        assert!(kernel_defaults(&fixture.ctx("attic")), "the host has it as wanted");
        fixture.facts.get_mut("attic").unwrap().sysctls.insert("kernel.panic".into(), "0".into());
        assert!(!kernel_defaults(&fixture.ctx("attic")));
        assert!(warnings(&fixture.ctx("attic"))[0].contains("kernel.panic"));
    }
}
