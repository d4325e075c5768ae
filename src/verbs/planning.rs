//! `plan`, and the planning that every other verb shares: facts → steps → look → plan. Writes nothing on any node.

use super::fleet::{self, Fleet};
use super::ground::{Ground, is_free};
use super::moving::InApi;
use super::plan_file::PlanFile;
use super::world::World;
use super::{assumed, look, moving, preflight, quorum, rollout, sealed, tap};
use crate::addons::{self, Survey};
use crate::cli::{Annotations, Global, Plan as Args};
use crate::cluster::{Node, Release};
use crate::error::{Failure, Result, exit};
use crate::facts::Facts;
use crate::inventory;
use crate::plan::{Draft, Observed, Plan, Rollout};
use crate::report::{Reporter, github};
use crate::secrets::Secrets;
use crate::steps::{Mode, Step};

/// Why nothing is known of the API before it is there.
pub(super) const NO_API: &str = "there is no API yet: an earlier step makes it";

/// `homectl plan`.
pub(super) async fn run(args: &Args, global: &Global, out: &Reporter) -> Result<u8> {
    let ran = if args.offline { offline(args, global, out).await } else { online(args, global, out).await };
    ran.inspect_err(|failure| {
        if args.format == Some(Annotations::Github) {
            out.data(github::failure(failure));
        }
    })
}

async fn online(args: &Args, global: &Global, out: &Reporter) -> Result<u8> {
    // A plan that is kept is one to run, which takes the secrets.
    let world = match &args.out {
        Some(_) => World::open(&args.target.inventory, global, out).await?,
        None => World::open_to_look(&args.target.inventory, global, out).await?,
    };
    let fleet = fleet::open(&world, global, out).await?;
    let plan = make(&world, &fleet, Mode::Present, global, out).await?;
    if let Some(path) = &args.out {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
        PlanFile::new(&world, &global.limit, &plan, folder)?.write(path)?;
    }
    show(args, &plan, out);
    fleet.tell_traffic(global, out);
    if plan.counts().blocked > 0 {
        return Ok(exit::FAILED);
    }
    if plan.counts().changes() > 0 && args.exit_code {
        return Ok(exit::CHANGES);
    }
    Ok(if plan.offline.is_empty() { exit::OK } else { exit::OFFLINE })
}

/// The plan, or what a workflow is to show of it beside the inventory.
fn show(args: &Args, plan: &Plan, out: &Reporter) {
    match args.format {
        None => out.show_plan(plan),
        Some(Annotations::Github) => {
            let file = args.target.inventory.display().to_string();
            let sheet = github::Sheet { file, places: inventory::places(&args.target.inventory) };
            out.data(github::plan(plan, &sheet));
        }
    }
}

/// The plan for machines that nobody asked.
async fn offline(args: &Args, global: &Global, out: &Reporter) -> Result<u8> {
    let in_short = !(global.verbose || global.json || global.events);
    let (cluster, names) = assumed::cluster(&args.target.inventory, global, out).await?;
    let plan = assumed::plan(&cluster, &names, jiff::Timestamp::now().as_second(), in_short)?;
    show(args, &plan, out);
    Ok(if args.exit_code && plan.counts().changes() > 0 { exit::CHANGES } else { exit::OK })
}

/// The plan of this world as the machines are now.
pub(super) async fn make(world: &World, fleet: &Fleet, mode: Mode, global: &Global, out: &Reporter) -> Result<Plan> {
    let secrets = match world.secrets() {
        Ok(secrets) => secrets,
        Err(why) => return sealed::plan(world, why, fleet, global, out).await,
    };
    let releases = world.lock.releases();
    let ground = ground(world, secrets, fleet, &releases);
    let mut rollout = if mode == Mode::Present { rollout::checked(world, &ground, global)? } else { Rollout::default() };
    let (steps, mut warnings) = node_steps(world, &ground, mode, out)?;
    let mut observed = look::at_nodes(&steps, &fleet.hosts, out).await?;
    let (mut api_steps, mut leaves) = (Vec::new(), InApi::default());
    if let Some((node, _)) = &world.pace.back {
        rollout.cordoned = rollout::kept_away(&tap::client(&world.cluster, secrets, &fleet.hosts)?, node).await;
    } else if mode == Mode::Present && global.limit.is_empty() {
        let survey = survey(world, &ground, fleet, &steps, &observed).await?;
        api_steps = ground.api_steps(&survey.owned)?;
        observe(&api_steps, &survey, &mut observed);
        leaves = moving::in_api(world, fleet, &steps, out).await?;
        if let Some(api) = fleet.api.get().filter(|_| !survey.seen.is_empty()) {
            warnings.extend(rollout::ask(&mut rollout, &ground, &survey, api).await?);
        }
    } else if mode == Mode::Present && fleet.is_founded() && !rollout.emptied().is_empty() {
        // What would be lost is to be known for a part of the cluster, too; each drain asks for itself once more.
        let client = tap::client(&world.cluster, secrets, &fleet.hosts)?;
        let api = fleet.api.get_or_init(|| client);
        if api.ready().await.is_ok() {
            rollout::foresee(&mut rollout, api).await?;
        }
    }
    warnings.append(&mut leaves.notes);
    let mut draft = Ground::draft(steps, api_steps, leaves, observed);
    if mode == Mode::Present {
        draft.first(&quorum::guard(&ground, fleet, &rollout, &draft).await?);
    }
    warnings.extend(rollout.warnings());
    finish(draft, &rollout, world, fleet, mode, warnings)
}

/// What a plan of this world is made from, with these secrets (placeholders where the world's are shut).
pub(super) fn ground<'a>(world: &'a World, secrets: &'a Secrets, fleet: &'a Fleet, releases: &'a [Release]) -> Ground<'a> {
    Ground {
        cluster: &world.cluster,
        secrets,
        etcd_ca: world.secrets().ok().map(|s| s.etcd_ca.cert.as_str()),
        facts: &fleet.facts,
        releases,
        pace: &world.pace,
        moving: world.moving.as_ref(),
        restoring: world.restoring.as_ref(),
        now: world.now,
    }
}

/// The draft in its order, with what the operator should know.
pub(super) fn finish(mut draft: Draft, rollout: &Rollout, world: &World, fleet: &Fleet, mode: Mode, warnings: Vec<String>) -> Result<Plan> {
    draft.moving(rollout);
    let mut plan = draft.finish(&world.cluster.name, mode)?;
    plan.offline.clone_from(&fleet.offline);
    plan.warnings = warnings;
    plan.ran.clone_from(&rollout.ran);
    Ok(plan)
}

/// What the API holds of the wants of its steps.
pub(super) fn observe(steps: &[Step], survey: &Survey, observed: &mut Observed) {
    for step in steps {
        observed.insert(step.id.clone(), step.wants.iter().map(|w| survey.of(&w.addr()).clone()).collect());
    }
}

/// The steps of every node that answered; what stands in the way of any is told for all.
pub(super) fn node_steps(world: &World, ground: &Ground, mode: Mode, out: &Reporter) -> Result<(Vec<Step>, Vec<String>)> {
    let mut warnings = Vec::new();
    if mode == Mode::Present {
        let (failures, found) = preflight::check(ground.cluster, ground.facts).sorted();
        Failure::together(failures)?;
        warnings = found;
        dropped(world, ground)?;
        unknown(world, ground)?;
    }
    let free = |n: &&Node| mode == Mode::Absent && ground.facts.get(&n.name).is_some_and(is_free);
    for node in ground.cluster.nodes.iter().filter(free) {
        out.talk(&format!("{}: homectl has put nothing there (no /etc/homectl/cluster); it is left alone.", node.name));
    }
    let (steps, told) = ground.node_steps(mode)?;
    warnings.extend(told);
    Ok((steps, warnings))
}

/// A node whose block was taken out of the inventory by hand: its machine would go on as a node that nobody looks after.
/// The lock has its number, and a machine still counts it among its peers. A restore is what lets go of control planes that will not
/// come back.
fn dropped(world: &World, ground: &Ground) -> Result<()> {
    let moves = |name: &String| world.moving.as_ref().is_some_and(|m| m.name() == name);
    let knows = |name: &String| world.cluster.nodes.iter().find(|n| ground.facts.get(&n.name).is_some_and(|f| f.peers.contains(name)));
    let names = world.lock.numbers.keys().filter(|_| world.restoring.is_none());
    let mut gone = names.filter(|name| world.cluster.node(name).is_none() && !moves(name));
    let Some((name, by)) = gone.find_map(|name| Some((name, knows(name)?))) else { return Ok(()) };
    Err(Failure::refused(format!("`{name}` is a node of this cluster, and the inventory has no [[node]] of that name"))
        .seen(format!("{} still counts it among its peers", by.name))
        .help(format!(
            "to let it go: homectl remove-node {} {name} (put its block back first, so that its machine is emptied and cleaned, or say --dead); else put its block back",
            world.inventory.path.display()
        )))
}

/// A node that a machine counts among its peers and of which neither inventory nor lock know: they are behind the cluster, and what is
/// made from them would shut it out. A restore brings the inventory and the lock of then, on purpose.
fn unknown<'a>(world: &World, ground: &Ground<'a>) -> Result<()> {
    let is_known = |name: &String| world.cluster.node(name).is_some() || world.lock.numbers.contains_key(name);
    let strange = |(by, facts): (&'a String, &'a Facts)| Some((by, facts.peers.iter().find(|name| !is_known(name))?));
    let Some((by, name)) = ground.facts.iter().filter(|_| world.restoring.is_none()).find_map(strange) else { return Ok(()) };
    Err(Failure::refused(format!("`{name}` is a node of this cluster, and neither the inventory nor the lock knows it"))
        .seen(format!("{by} counts it among its peers"))
        .help(format!(
            "somebody else has added it: fetch the inventory and the lock that they wrote (git pull), then run this again. If nobody has them any more, write its \
             [[node]] block into {} again; homectl remove-node {name} --dead then lets go of one that is gone",
            world.inventory.path.display()
        )))
}

/// What the API holds. Where this run has work to do before the API can answer, that is an observation, not a failure.
async fn survey(world: &World, ground: &Ground<'_>, fleet: &Fleet, steps: &[Step], observed: &Observed) -> Result<Survey> {
    if world.restoring.is_some() {
        return Ok(Survey::no_api("what the API will hold is restored by an earlier step"));
    }
    if !fleet.is_founded() {
        return Ok(Survey::no_api(NO_API));
    }
    let client = tap::client(&world.cluster, ground.secrets, &fleet.hosts)?;
    let api = fleet.api.get_or_init(|| client);
    let seen = match api.ready().await {
        Ok(_) => match addons::survey(api, &world.cluster, ground.secrets, ground.pace.since).await {
            Ok(survey) => return Ok(survey),
            Err(e) => e.to_string(),
        },
        Err(e) => e.to_string(),
    };
    if ground.mends_control_plane(steps, observed)? {
        return Ok(Survey::no_api(format!("the API does not answer yet: an earlier step mends a control plane ({seen})")));
    }
    Ok(Survey::failed(format!("the API does not answer: {seen}")))
}
