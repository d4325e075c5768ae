//! All rules in one order, and the inventory that comes out when none was broken.

use super::super::model::Inventory;
use super::super::problem::{Problems, Sink};
use super::super::raw::Raw;
use super::{addons, backup, cluster, extras, network, nodes, reach};
use std::path::Path;

/// Judges the whole inventory. `path` is the file's, for paths relative to it.
pub(in super::super) fn whole(raw: &Raw, path: &Path, mut sink: Sink) -> Result<Inventory, Problems> {
    let sink_ref = &mut sink;
    let home = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
    let (name, kubernetes, versions) = cluster::check(&raw.cluster, sink_ref);
    let ranges = network::ranges(&raw.network, sink_ref);
    let network = network::check(&raw.network, &ranges, raw.nodes.len(), sink_ref);
    let api = extras::api(raw, sink_ref);
    let mirror = raw.mirror.as_ref().and_then(|m| extras::mirror(m, sink_ref));
    let registries = extras::registries(&raw.registries, sink_ref);
    let login = nodes::login(&raw.ssh, sink_ref);
    let machines: Vec<_> = raw.nodes.iter().map(|n| nodes::machine(n, &login, &home, sink_ref)).collect();
    nodes::together(&raw.nodes, &machines, raw.nodes_attempted, sink_ref);
    network::addresses(&raw.nodes, &ranges, sink_ref);
    reach::check(&raw.nodes, &machines, sink_ref);
    let backups = backup::check(raw.backup.as_ref(), &machines, &home, sink_ref);
    let addons = addons::check(&raw.addons, &home, sink_ref);
    Ok(Inventory {
        path: path.to_path_buf(),
        home,
        name,
        kubernetes,
        versions,
        network,
        api,
        mirror,
        registries,
        backups,
        nodes: machines,
        addons,
        warnings: sink.finish()?,
    })
}
