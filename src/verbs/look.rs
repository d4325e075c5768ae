//! Looking at all machines at once: one script a host, and a second one where something is to change: for diffs, and for what
//! would not let itself be changed.

use crate::error::{Failure, Result};
use crate::exec::EventKind;
use crate::plan::Observed;
use crate::report::Reporter;
use crate::ssh::Connection;
use crate::steps::{Lane, Step};
use crate::want::{Body, Seen, Want, probe};
use futures::future::try_join_all;
use std::collections::{BTreeMap, BTreeSet};

/// Looks at every want of every node step.
pub(super) async fn at_nodes(steps: &[Step], hosts: &BTreeMap<String, Connection>, out: &Reporter) -> Result<Observed> {
    let looks = hosts.iter().map(|(node, host)| {
        let mine: Vec<&Step> = steps.iter().filter(|s| s.id.lane == Lane::Node(node.clone())).collect();
        at_node(node, host, mine, out)
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

async fn at_node(node: &str, host: &Connection, steps: Vec<&Step>, out: &Reporter) -> Result<Observed> {
    out.sink().tell(EventKind::Probing { node: node.to_owned() });
    let wants: Vec<Want> = steps.iter().flat_map(|s| s.wants.iter().cloned()).collect();
    let lost = |e: crate::ssh::RemoteError| e.into_failure(node);
    let reply = host.run(&probe::compile(&wants), &mut |_| ()).await.map_err(lost)?;
    let mut seen = probe::parse(&wants, &reply.output);
    let (paths, places) = (differing(&wants, &seen), places(&wants, &seen));
    if !paths.is_empty() || !places.is_empty() {
        let reply = host.run(&probe::open(&paths, &places), &mut |_| ()).await.map_err(lost)?;
        let (texts, obstacles) = (probe::opened(&reply.output), probe::obstacles(&reply.output));
        for (want, seen) in wants.iter().zip(&mut seen) {
            if let (Want::File(file), Seen::Inode(inode)) = (want, &mut *seen) {
                inode.text = texts.get(&file.path).cloned();
            }
            if let Some(by) = want.places(seen).iter().find_map(|place| obstacles.get(place)) {
                *seen = Seen::Held { seen: Box::new(seen.clone()), by: by.clone() };
            }
        }
    }
    let mut seen = seen.into_iter();
    let observed: Observed = steps.iter().map(|s| (s.id.clone(), seen.by_ref().take(s.wants.len()).collect())).collect();
    if observed.values().map(Vec::len).sum::<usize>() != wants.len() {
        return Err(Failure::bug("a look answered for fewer things than were asked").on(node));
    }
    Ok(observed)
}

/// Where changes would write.
fn places(wants: &[Want], seen: &[Seen]) -> BTreeSet<String> {
    let due = wants.iter().zip(seen).filter(|(want, seen)| want.diff(seen).change().is_some());
    due.flat_map(|(want, seen)| want.places(seen)).collect()
}

/// Text files that are there with other content.
fn differing<'a>(wants: &'a [Want], seen: &[Seen]) -> Vec<&'a str> {
    wants
        .iter()
        .zip(seen)
        .filter_map(|(want, seen)| match (want, seen) {
            (Want::File(f), Seen::Inode(inode)) => match &f.body {
                Some(body @ Body::Text(_)) if inode.sha256.is_some() && inode.sha256 != body.sha256() => Some(f.path.as_str()),
                _ => None,
            },
            _ => None,
        })
        .collect()
}
