//! What came up on a machine last: noted once its kubelet and company run. A run that is cut leaves there what came up before, and
//! that is what the machine goes back to (`cluster::Ran`).

use super::{Ctx, Step};
use crate::cluster::Policy;
use crate::error::Result;
use crate::template::{context, render};
use crate::want::{File, Want};

/// Name of the step.
pub const CAME_UP: &str = "came-up";

const RECORD: &str = "/etc/homectl/came-up";

pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let cluster = ctx.cluster;
    let router = (cluster.network.policy == Policy::KubeRouter).then_some("kube-router");
    let programs: Vec<String> = cluster.programs.noted().iter().map(|(component, version)| format!("{component} {version}")).collect();
    Ok(Some(Step {
        id: ctx.id(CAME_UP),
        title: "what came up is noted".into(),
        after: ["runtime", "kubelet", "kube-proxy"].into_iter().chain(router).map(|name| ctx.id(name)).collect(),
        wants: vec![Want::File(File::text(RECORD, render("base/came-up.j2", context! { programs })?))],
        ready: None,
        rolling: None,
        // Kubelets may wait for what is put into the API meanwhile: nobody here stops for them.
        aside: true,
    }))
}
