//! `plan`, and the planning that every other verb shares: facts → steps → look → plan. Writes nothing on any node.

use super::fleet::{self, Fleet};
use super::plan_file::PlanFile;
use super::world::World;
use super::{assumed, look, moving, preflight, restore, rollout, sealed, tap};
use crate::addons::{self, Survey};
use crate::cli::{Annotations, Global, Plan as Args};
use crate::cluster::Node;
use crate::error::{Failure, Result, exit};
use crate::facts::Facts;
use crate::inventory;
use crate::os::{self, Os};
use crate::plan::{self, Draft, Observed, Plan, Rollout};
use crate::report::{Reporter, github};
use crate::secrets::Secrets;
use crate::steps::{self, Ctx, Lane, Mode, Step};

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
    let mut rollout = if mode == Mode::Present { rollout::of(world, fleet, global)? } else { Rollout::default() };
    let (steps, mut warnings) = node_steps(world, secrets, fleet, mode, out)?;
    let mut observed = look::at_nodes(&steps, &fleet.hosts, out).await?;
    let mut all = steps;
    let mut draft = Draft::default();
    if let Some(node) = &world.pace.back {
        rollout.cordoned = rollout::kept_away(&tap::client(&world.cluster, secrets, &fleet.hosts)?, node).await;
    } else if mode == Mode::Present && global.limit.is_empty() {
        let survey = survey(world, secrets, fleet, &all, &observed).await?;
        let mut api_steps = addons::steps(&world.cluster, secrets, &survey.owned, &|node| fleet.facts.contains_key(node))?;
        if let Some(since) = world.pace.since {
            steps::renewed(&mut api_steps, since);
        }
        observe(&api_steps, &survey, &mut observed);
        let leaves = moving::in_api(world, fleet, &all, out).await?;
        warnings.extend(leaves.notes);
        leaves.first.into_iter().for_each(|step| draft.insert(step));
        all.extend(api_steps);
        if let Some(api) = fleet.api.get().filter(|_| !survey.seen.is_empty()) {
            rollout::ask(&mut rollout, &survey, api).await?;
        }
        if let Some((step, seen)) = leaves.last {
            observed.insert(step.id.clone(), seen);
            all.push(step);
        }
    }
    draft.add(all, &observed);
    warnings.extend(rollout.warnings());
    finish(draft, &rollout, world, fleet, mode, warnings)
}

/// The draft in its order, with what the operator should know.
pub(super) fn finish(mut draft: Draft, rollout: &Rollout, world: &World, fleet: &Fleet, mode: Mode, warnings: Vec<String>) -> Result<Plan> {
    draft.moving(rollout);
    let mut plan = draft.finish(&world.cluster.name, mode)?;
    plan.offline.clone_from(&fleet.offline);
    plan.warnings = warnings;
    Ok(plan)
}

/// What the API holds of the wants of its steps.
pub(super) fn observe(steps: &[Step], survey: &Survey, observed: &mut Observed) {
    for step in steps {
        observed.insert(step.id.clone(), step.wants.iter().map(|w| survey.of(&w.addr()).clone()).collect());
    }
}

/// The steps of every node that answered, made from `secrets` (placeholders where the world's are shut); what stands in the
/// way of any is told for all.
pub(super) fn node_steps(world: &World, secrets: &Secrets, fleet: &Fleet, mode: Mode, out: &Reporter) -> Result<(Vec<Step>, Vec<String>)> {
    let mut warnings = Vec::new();
    if mode == Mode::Present {
        let (failures, found) = preflight::check(&world.cluster, &fleet.facts).sorted();
        Failure::together(failures)?;
        warnings = found;
        dropped(world, fleet)?;
    }
    let asked = moving::facts(world, fleet)?;
    if mode == Mode::Present {
        match &world.restoring {
            Some(restoring) => restore::check(world, fleet, restoring)?,
            None => steps::check_etcd(&world.cluster, &asked, world.secrets().ok().map(|s| s.etcd_ca.cert.as_str()))?,
        }
    }
    let mut all = Vec::new();
    for node in &world.cluster.nodes {
        let Some(facts) = fleet.facts.get(&node.name).filter(|_| world.pace.concerns(&node.name)) else { continue };
        if mode == Mode::Absent && facts.cluster.is_none() && !facts.bare {
            out.talk(&format!("{}: homectl has put nothing there (no /etc/homectl/cluster); it is left alone.", node.name));
            continue;
        }
        let ctx = Ctx {
            cluster: &world.cluster,
            node,
            facts,
            all: &asked,
            secrets,
            os: system(node, facts)?,
            now: world.now,
            restore: world.restoring.as_ref().map(|r| &r.restore),
        };
        all.extend(steps::node(&ctx)?);
        if mode == Mode::Present {
            warnings.extend(steps::warnings(&ctx));
        }
    }
    if mode == Mode::Absent {
        return Ok((steps::absent(all), warnings));
    }
    if world.restoring.is_some() {
        // Nothing is up that one after the other could keep up: members wait for each other, and so does all that needs them.
        for step in &mut all {
            step.rolling = None;
        }
    }
    let mut all = steps::acquaint(all);
    if let Some(since) = world.pace.since {
        steps::renewed(&mut all, since);
    }
    warnings.extend(moving::on_machines(world, fleet, leavers_steps(world, secrets, fleet)?, &mut all)?);
    Ok((all, warnings))
}

fn system(node: &Node, facts: &Facts) -> Result<&'static dyn Os> {
    os::of(facts).ok_or_else(|| {
        Failure::failed(format!("{} is not supported", facts.os_name)).on(&node.name).help(format!("supported: {}", os::SUPPORTED))
    })
}

/// What goes from a machine that leaves, as a reset of it alone.
fn leavers_steps(world: &World, secrets: &Secrets, fleet: &Fleet) -> Result<Vec<Step>> {
    let Some((cluster, node)) = world.moving.as_ref().and_then(|m| m.leaver()) else { return Ok(Vec::new()) };
    let Some(facts) = fleet.facts.get(&node.name).filter(|f| f.cluster.is_some() || f.bare) else { return Ok(Vec::new()) };
    let ctx = Ctx { cluster, node, facts, all: &fleet.facts, secrets, os: system(node, facts)?, now: world.now, restore: None };
    Ok(steps::absent(steps::node(&ctx)?))
}

/// A node whose block was taken out of the inventory by hand: its machine would go on as a node that nobody looks after.
/// The lock has its number, and a machine still counts it among its peers.
fn dropped(world: &World, fleet: &Fleet) -> Result<()> {
    let moves = |name: &String| world.moving.as_ref().is_some_and(|m| m.name() == name);
    let knows = |name: &String| world.cluster.nodes.iter().find(|n| fleet.facts.get(&n.name).is_some_and(|f| f.peers.contains(name)));
    let mut gone = world.lock.numbers.keys().filter(|name| world.cluster.node(name).is_none() && !moves(name));
    let Some((name, by)) = gone.find_map(|name| Some((name, knows(name)?))) else { return Ok(()) };
    Err(Failure::refused(format!("`{name}` is a node of this cluster, and the inventory has no [[node]] of that name"))
        .seen(format!("{} still counts it among its peers", by.name))
        .help(format!(
            "to let it go: homectl remove-node {} {name} (put its block back first, so that its machine is emptied and cleaned, or say --dead); else put its block back",
            world.inventory.path.display()
        )))
}

/// What the API holds. Where this run has work to do before the API can answer, that is an observation, not a failure.
async fn survey(world: &World, secrets: &Secrets, fleet: &Fleet, steps: &[Step], observed: &Observed) -> Result<Survey> {
    if world.restoring.is_some() {
        return Ok(Survey::no_api("what the API will hold is restored by an earlier step"));
    }
    if !fleet.is_founded() {
        return Ok(Survey::no_api(NO_API));
    }
    let client = tap::client(&world.cluster, secrets, &fleet.hosts)?;
    let api = fleet.api.get_or_init(|| client);
    let seen = match api.ready().await {
        Ok(_) => match addons::survey(api, &world.cluster, secrets).await {
            Ok(survey) => return Ok(survey),
            Err(e) => e.to_string(),
        },
        Err(e) => e.to_string(),
    };
    if mends_control_plane(world, steps, observed)? {
        return Ok(Survey::no_api(format!("the API does not answer yet: an earlier step mends a control plane ({seen})")));
    }
    Ok(Survey::failed(format!("the API does not answer: {seen}")))
}

/// Whether any node of the control plane has something to do.
fn mends_control_plane(world: &World, steps: &[Step], observed: &Observed) -> Result<bool> {
    let plan = plan::diff(&world.cluster.name, Mode::Present, steps.to_vec(), observed)?;
    Ok(plan.steps.iter().any(|s| {
        s.acts() && matches!(&s.id.lane, Lane::Node(name) if world.cluster.node(name).is_some_and(crate::cluster::Node::is_control_plane))
    }))
}
