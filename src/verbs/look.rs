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
        out.sink().tell(EventKind::Probing { node: node.clone() });
        at_node(node, host, mine)
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

async fn at_node(node: &str, host: &Connection, steps: Vec<&Step>) -> Result<Observed> {
    let wants: Vec<Want> = steps.iter().flat_map(|s| s.wants.iter().cloned()).collect();
    let lost = |e: crate::ssh::RemoteError| e.into_failure(node);
    let reply = host.run(&probe::compile(&wants), &mut |_| ()).await.map_err(lost)?;
    let mut seen = probe::parse(&wants, &reply.output);
    let (paths, places) = (differing(&wants, &seen), places(&wants, &seen));
    if !paths.is_empty() || !places.is_empty() {
        let reply = host.run(&probe::open(&paths, &places), &mut |_| ()).await.map_err(lost)?;
        let (texts, obstacles) = (probe::opened(&reply.output), probe::obstacles(&reply.output));
        for (want, seen) in wants.iter().zip(&mut seen) {
            if let (Want::File(file), Seen::Inode(inode)) = (want, &mut *seen)
                && let Some(text) = texts.get(&file.path)
            {
                inode.text = Some(text.clone());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::LocalShell;
    use crate::steps::StepId;
    use crate::want::{File, Verdict};
    use std::sync::Arc;

    /// What the first look read of a file that is made from secrets is still known after a second one, for another's diff.
    #[tokio::test]
    async fn a_second_look_takes_nothing_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            let owner = "somebody:else";
            Want::File(File::text(path.display().to_string(), text).owner(owner))
        };
        std::fs::write(dir.path().join("sealed"), "[Peer]\nPublicKey = xyz\n").unwrap();
        std::fs::write(dir.path().join("edited"), "mine\n").unwrap();
        let sealed = file("sealed", "[Peer]\nPublicKey = a\n").sealed(&file("sealed", "[Peer]\nPublicKey = b\n"), 0).unwrap();
        let wants = vec![sealed, file("edited", "ours\n")];
        let id = StepId::node("attic", "x");
        let step =
            Step { id: id.clone(), title: "x".into(), after: Vec::new(), wants: wants.clone(), ready: None, rolling: None, aside: false };
        let host: Connection = Arc::new(LocalShell::new().await.unwrap());
        let seen = at_node("attic", &host, vec![&step]).await.unwrap();
        let why = |i: usize| match wants[i].diff(&seen[&id][i]) {
            Verdict::Change(change) => (change.why, change.lines.join("|")),
            other => panic!("{other:?}"),
        };
        assert!(!why(0).0.contains("content"), "{:?}", why(0));
        assert!(why(1).0.contains("content differs") && why(1).1.contains("-mine|+ours"), "{:?}", why(1));
    }
}
