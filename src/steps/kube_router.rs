//! kube-router, firewall only: NetworkPolicy is enforced from the first day.

use super::{Ctx, Ready, Step, api_proxy, firewall, kubeconfig, overlay, programs};
use crate::cluster::{Component, Policy};
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{File, Guard, Unit, Want};

pub(super) const UNIT: &str = "kube-router.service";
const KUBECONFIG: &str = "/etc/kubernetes/kube-router.conf";

/// Its unit, where it is wanted.
pub(super) fn service(ctx: &Ctx) -> Option<&'static str> {
    (ctx.cluster.network.policy == Policy::KubeRouter).then_some(UNIT)
}

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let enforced = service(ctx).is_some();
    let kubeconfig = kubeconfig::node(&ctx.cluster.name, "kube-router", ctx.cluster.local_api())?;
    let mut service = programs::links(ctx, Component::KubeRouter)?;
    service.extend([
        Want::File(File::text(KUBECONFIG, kubeconfig).mode(0o600).restarts(UNIT)),
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit(ctx)?).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    let chains = Want::Guard(chains(enforced)?);
    let mut wants = vec![chains.clone()];
    if enforced {
        wants.extend(service);
    } else {
        // The service goes before what it would write again.
        wants = service.iter().rev().filter_map(Want::absent).chain([chains]).collect();
    }
    let test = format!(
        "systemctl is-active {UNIT} && {{ iptables -w 5 -n -L KUBE-ROUTER-FORWARD >/dev/null 2>&1 || {{ echo 'no chains yet'; exit 1; }}; }}"
    );
    let ready = enforced.then(|| Ready {
        units: vec![UNIT.into()],
        through: ctx.api_servers(),
        ..Ready::node("kube-router has written its chains", test)
    });
    Ok(Some(Step {
        id: ctx.id("kube-router"),
        title: "network policies".into(),
        after: Vec::new(),
        wants,
        ready,
        rolling: None,
        aside: false,
    }))
}

fn unit(ctx: &Ctx) -> Result<String> {
    let after = [overlay::UNIT, firewall::UNIT, api_proxy::UNIT, api_proxy::GATE].join(" ");
    let services = ctx.cluster.network.services.to_string();
    render(
        "kube-router/kube-router.service.j2",
        context! { bin => programs::BIN, kubeconfig => KUBECONFIG, node => ctx.node.name.as_str(), services, after },
    )
}

/// Its chains and sets, gone in a reset or once nobody enforces policies any more.
fn chains(enforced: bool) -> Result<Guard> {
    let remove = render("kubelet/chains.sh.j2", context! { chains => "KUBE-(ROUTER|NWPLCY|POD-FW)-" })?;
    if enforced {
        return Ok(Guard::new("kube-router:chains", "its chains go with it", "exit 0", "exit 1").undo(remove));
    }
    let ok = "command -v iptables-save >/dev/null || exit 0\nif iptables-save -t filter | grep -q '^:KUBE-ROUTER-'; then echo 'chains of kube-router are left'; exit 1; fi\n";
    Ok(Guard::new("kube-router:chains", "no chains of kube-router are left", ok, &*remove).undo(remove))
}
