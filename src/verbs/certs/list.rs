//! `certs list`: every certificate with the days it has left; nothing is written but the calendar that was asked for.

use super::super::certificates;
use super::super::fleet::{self, Fleet};
use super::super::tap;
use super::super::world::World;
use crate::cli::{CertsList, Global};
use crate::error::{Failure, Result, exit};
use crate::report::{Certificates, Reporter, calendar};
use crate::whole;
use std::time::Duration;

/// For the API to say something.
const PATIENCE: Duration = Duration::from_secs(8);

/// `homectl certs list`.
pub(super) async fn run(args: &CertsList, global: &Global, out: &Reporter) -> Result<u8> {
    let world = World::open_to_look(&args.target.inventory, global, out).await?;
    let fleet = fleet::open(&world, global, out).await?;
    let found = look(&world, &fleet).await;
    out.certificates(&found);
    if let Some(path) = &args.ics {
        whole::replace(path, calendar(&found.cluster, &found.all, world.now).as_bytes(), 0o644)
            .map_err(|e| Failure::failed(format!("{} could not be written", path.display())).seen(e.to_string()))?;
        out.talk(&format!("Wrote {}.", path.display()));
    }
    fleet.tell_traffic(global, out);
    Ok(match (found.is_well(), fleet.offline.is_empty()) {
        (false, _) => exit::FAILED,
        (true, false) => exit::OFFLINE,
        (true, true) => exit::OK,
    })
}

/// What there is, as far as it could be looked at.
pub(super) async fn look(world: &World, fleet: &Fleet) -> Certificates {
    let (machines, told) = tokio::join!(certificates::ask_all(world, fleet, certificates::SCRIPT), api(world, fleet));
    let mut unknown = fleet.offline.clone();
    let in_api = told.unwrap_or_else(|seen| {
        unknown.push(("API".into(), seen));
        None
    });
    unknown.extend(certificates::clocks(fleet.facts.iter()));
    unknown.extend(machines.iter().filter_map(|(node, told)| Some((node.clone(), told.as_ref().err()?.clone()))));
    let under_way = world.secrets().map(|s| s.under_way(world.now)).unwrap_or_default();
    Certificates { cluster: world.cluster.name.clone(), under_way, all: certificates::all(world, &machines, in_api.as_deref()), unknown }
}

async fn api(world: &World, fleet: &Fleet) -> Result<Option<Vec<u8>>, String> {
    let secrets = world.secrets().map_err(|why| format!("not looked at: {why}"))?;
    let api = tap::client(&world.cluster, secrets, &fleet.hosts).map_err(|e| e.what().to_owned())?;
    match tokio::time::timeout(PATIENCE, certificates::in_api(&api)).await {
        Ok(answer) => answer.map_err(|e| e.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}
