//! containerd and runc, with the registries' mirrors.

use super::{Ctx, Ready, Step, programs};
use crate::cluster::{Component, Registry};
use crate::error::{Failure, Result};
use crate::template::{context, render};
use crate::want::{Dir, File, Guard, Unit, Want, quote};
use std::fmt::Write as _;

pub(super) const UNIT: &str = "containerd.service";
const CERTS: &str = "/etc/containerd/certs.d";

/// The image that holds a pod's namespaces, pinned so that a cold start needs no registry.
pub(super) const SANDBOX: &str = "registry.k8s.io/pause:3.10.1";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let config =
        render("runtime/containerd.toml.j2", context! { restricted => !ctx.facts.cap_sys_resource, sandbox => SANDBOX, certs => CERTS })?;
    let unit = render("runtime/containerd.service.j2", context! { restricted => !ctx.facts.cap_sys_resource, bin => programs::BIN })?;
    let mut wants = vec![
        Want::Dir(Dir::new("/var/lib/containerd").mode(0o700).tree()),
        Want::Dir(Dir::new("/etc/containerd").tree()),
        Want::Dir(Dir::new(CERTS)),
    ];
    for registry in &ctx.cluster.registries {
        // Read on every pull: containerd needs no restart.
        wants.push(Want::Dir(Dir::new(format!("{CERTS}/{}", registry.host))));
        wants.push(Want::File(File::text(format!("{CERTS}/{}/hosts.toml", registry.host), hosts(registry)?)));
    }
    wants.push(Want::Guard(dropped(&ctx.cluster.registries)));
    wants.extend(programs::links(ctx, Component::Runc)?);
    wants.extend(programs::links(ctx, Component::Containerd)?);
    wants.push(Want::File(File::text("/etc/containerd/config.toml", config).mode(0o600).restarts(UNIT)));
    wants.push(Want::Guard(
        Guard::new("containerd:state", "what containerd keeps under /run goes with it", "exit 0", "exit 1")
            .undo(render("runtime/state.sh.j2", context! {})?),
    ));
    wants.push(Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).restarts(UNIT)));
    wants.push(Want::Unit(Unit::running(UNIT)));
    let test = format!("systemctl is-active {UNIT} && {}/ctr --connect-timeout 2s version >/dev/null", programs::BIN);
    let ready = Ready { units: vec![UNIT.into()], ..Ready::node("containerd answers", test) };
    Ok(Some(Step {
        id: ctx.id("runtime"),
        title: "container runtime".into(),
        after: Vec::new(),
        wants,
        ready: Some(ready),
        rolling: Some("runtime"),
        aside: false,
    }))
}

pub(super) fn warnings(ctx: &Ctx) -> Vec<String> {
    if ctx.facts.cap_sys_resource {
        return Vec::new();
    }
    vec![format!(
        "{}: the machine may not raise priorities (no CAP_SYS_RESOURCE{}), so the kernel's order of whom to stop when memory runs out is not protected",
        ctx.node.name,
        if ctx.facts.container == "none" { String::new() } else { format!(", a {} container", ctx.facts.container) }
    )]
}

/// `hosts.toml` of one registry: the mirrors in order, then upstream.
fn hosts(registry: &Registry) -> Result<String> {
    let mut hosts = toml::Table::new();
    for mirror in &registry.mirrors {
        let can = toml::Value::Array(vec!["pull".into(), "resolve".into()]);
        hosts.insert(mirror.clone(), toml::Table::from_iter([("capabilities".to_owned(), can)]).into());
    }
    let upstream = if registry.host == "docker.io" { "registry-1.docker.io" } else { &registry.host };
    let mut table = toml::Table::from_iter([("server".to_owned(), format!("https://{upstream}").into())]);
    table.insert("host".into(), hosts.into());
    let text =
        toml::to_string(&table).map_err(|e| Failure::bug("the mirrors of a registry cannot be written as TOML").seen(e.to_string()))?;
    Ok(format!("# Managed by homectl.\n{text}"))
}

/// A registry that is no longer in the inventory must not be mirrored on.
fn dropped(registries: &[Registry]) -> Guard {
    let mut keep = String::new();
    for registry in registries {
        let _ = write!(keep, " {}", registry.host);
    }
    let each = |act: &str| {
        format!(
            "for dir in {CERTS}/*/; do\n[ -d \"$dir\" ] || continue\ndir=${{dir%/}}\n\
             case {} in *\" ${{dir##*/}} \"*) ;; *) {act} ;; esac\ndone\n",
            quote(&format!("{keep} "))
        )
    };
    let ok = format!("found=\n{}[ -z \"$found\" ]\n", each("echo \"$dir is not in the inventory\"; found=yes"));
    Guard::new("registries", "no mirror that the inventory does not have", ok, each("rm -rf -- \"$dir\"")).writes(&[CERTS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_registry_is_found_and_removed() {
        let temp = tempfile::tempdir().unwrap();
        let here = |sh: &crate::want::Sh| sh.as_str().replace(CERTS, &temp.path().display().to_string());
        let run = |script: &str| std::process::Command::new("sh").args(["-euc", script]).output().unwrap();
        let registry = |host: &str| Registry { host: host.into(), mirrors: Vec::new() };
        let guard = dropped(&[registry("docker.io"), registry("nas.lan:5000")]);
        assert!(run(&here(&guard.ok)).status.success(), "an empty folder");
        for host in ["docker.io", "nas.lan:5000", "quay.io"] {
            std::fs::create_dir(temp.path().join(host)).unwrap();
        }
        let seen = run(&here(&guard.ok));
        assert_eq!(seen.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&seen.stdout).ends_with("/quay.io is not in the inventory\n"));
        assert!(run(&here(&guard.run)).status.success());
        assert!(run(&here(&guard.ok)).status.success());
        assert!(temp.path().join("nas.lan:5000").is_dir() && !temp.path().join("quay.io").exists());
    }
}
