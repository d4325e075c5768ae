//! The controller manager of a control plane, on its own API server; one of them leads.

use super::apiserver::CIPHER_SUITES;
use super::identity::kubeconfig;
use super::programs::links;
use super::{Ctx, Ready, Step};
use crate::cluster::Component;
use crate::error::Result;
use crate::pki::name;
use crate::template::{context, render};
use crate::want::{Account, File, Unit, Want};

/// The unit.
pub(super) const UNIT: &str = "kube-controller-manager.service";
/// Its port on the loopback address.
const PORT: u16 = 10257;

/// The controller manager.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let network = &ctx.cluster.network;
    let unit = render(
        "controller-manager/kube-controller-manager.service.j2",
        context! {
            cluster => &ctx.cluster.name, pods => network.pods.to_string(), services => network.services.to_string(),
            port => PORT, cipher_suites => CIPHER_SUITES,
        },
    )?;
    let mut wants = vec![Want::Account(Account::new("kube-controller-manager"))];
    wants.extend(links(ctx, Component::KubeControllerManager)?);
    wants.extend([
        kubeconfig(ctx, name::CONTROLLER_MANAGER, "/etc/kubernetes/controller-manager.conf", Some(UNIT))?,
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit).mode(0o600).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    Ok(Some(Step {
        id: ctx.id("controller-manager"),
        title: "controller manager".into(),
        after: Vec::new(),
        wants,
        ready: Some(Ready { units: vec![UNIT.into()], ..Ready::node("the controller manager is healthy", healthy(PORT)) }),
        rolling: Some("controllers"),
        aside: false,
    }))
}

/// sh: whether the service with a certificate of its own making at `port` of the loopback address says it is healthy.
pub(super) fn healthy(port: u16) -> String {
    format!(
        "answer=$(printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect 127.0.0.1:{port} 2>/dev/null | sed -n '1s/\\r$//p')\n\
         echo \"${{answer:-no answer at 127.0.0.1:{port}}}\"\ncase $answer in HTTP/*' 200 '*) ;; *) exit 1 ;; esac\n"
    )
}
