//! Planning without the secrets: what is made from them is judged by whether it is there, by mode, owner and what it says; the
//! API, which asks for a certificate, is not looked at. The plan says so, and nothing of it can run.

use super::fleet::Fleet;
use super::planning::{NO_API, finish, ground, node_steps, observe};
use super::world::World;
use super::{look, rollout};
use crate::addons::{self, Survey};
use crate::cli::Global;
use crate::error::Result;
use crate::plan::{Draft, NotCompared, Observed, Plan};
use crate::report::Reporter;
use crate::secrets::Secrets;
use crate::steps::{self, Lane, Mode, Step};

/// What would be done as far as it can be told; `why` the secrets are shut.
pub(super) async fn plan(world: &World, why: &str, fleet: &Fleet, global: &Global, out: &Reporter) -> Result<Plan> {
    let releases = world.lock.releases();
    let [one, two] = Secrets::placeholder_sets(&world.cluster);
    let [ground, twin] = [&one, &two].map(|secrets| ground(world, secrets, fleet, &releases));
    let rollout = rollout::checked(world, &ground, global)?;
    let (steps, mut warnings) = node_steps(world, &ground, Mode::Present, out)?;
    let (twins, _) = twin.node_steps(Mode::Present)?;
    let mut all = steps::sealed(steps, &twins, world.now)?;
    let mut observed = look::at_nodes(&all, &fleet.hosts, out).await?;
    let mut not_compared = NotCompared { why: why.to_owned(), items: items(&all), lanes: Vec::new() };
    match (global.limit.is_empty(), fleet.is_founded()) {
        (true, true) => not_compared.lanes.push(Lane::Cluster),
        (true, false) => all.extend(not_yet(world, &one, fleet, &mut observed)?),
        (false, _) => {}
    }
    warnings.push(not_compared.to_string());
    let mut draft = Draft::only_shown(false);
    draft.add(all, &observed);
    let mut plan = finish(draft, &rollout, world, fleet, Mode::Present, warnings)?;
    plan.not_compared = Some(not_compared);
    Ok(plan)
}

/// `address@lane` of what was not compared as a whole.
fn items(steps: &[Step]) -> Vec<String> {
    let wants = steps.iter().flat_map(|s| s.wants.iter().map(move |w| (&s.id.lane, w)));
    wants.filter(|(_, want)| want.is_sealed()).map(|(lane, want)| format!("{}@{lane}", want.addr())).collect()
}

/// The steps in an API that is still to be made.
fn not_yet(world: &World, placeholders: &Secrets, fleet: &Fleet, observed: &mut Observed) -> Result<Vec<Step>> {
    let survey = Survey::no_api(NO_API);
    let steps = addons::steps(&world.cluster, placeholders, &survey.owned, &|node| fleet.facts.contains_key(node))?;
    observe(&steps, &survey, observed);
    Ok(steps)
}
