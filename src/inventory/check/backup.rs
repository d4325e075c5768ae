//! Where backups are kept when nobody says otherwise: places that there are, that stay, and not all of them in the fire that they are for.

use super::super::destination::{Destination, END};
use super::super::model::{Backups, Machine, Role, home_path};
use super::super::names;
use super::super::problem::Sink;
use super::super::raw::{self, At};
use super::super::table::nearest;
use super::nodes::unique;
use std::path::{Path, PathBuf};

/// What a restart empties, and what homectl makes anew or removes.
const SWEPT: [&str; 13] = [
    "/dev",
    "/etc/homectl",
    "/etc/kubernetes",
    "/opt/homectl",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/lib/containerd",
    "/var/lib/etcd",
    "/var/lib/homectl",
    "/var/lib/kubelet",
    "/var/run",
];

pub(super) fn check(raw: Option<&raw::Backup>, machines: &[Machine], home: &Path, sink: &mut Sink) -> Backups {
    let Some(raw) = raw else { return Backups::default() };
    let keep = raw.keep.as_ref().map(|keep| usize::from(*keep.get_ref()));
    let Some(to) = &raw.to else { return Backups { to: Vec::new(), keep } };
    if to.get_ref().is_empty() {
        sink.error(&to.span(), "`to` names no place for backups").help("name one, or remove [backup]");
    }
    let places: Vec<(&At<String>, Destination)> =
        to.get_ref().iter().filter_map(|at| Some((at, place(at, machines, home, sink)?))).collect();
    let all = places.iter().map(|(at, place)| (place.to_string(), at.span()));
    unique("backups would go twice to", "once is enough", all, sink);
    lost_together(&places, machines, sink);
    Backups { to: places.into_iter().map(|(_, place)| place).collect(), keep }
}

fn place(at: &At<String>, machines: &[Machine], home: &Path, sink: &mut Sink) -> Option<Destination> {
    let text = at.get_ref().as_str();
    let place = match Destination::parse(text) {
        Ok(place) => place,
        Err(why) => {
            sink.error(&at.span(), why.what).help(why.help);
            return None;
        }
    };
    if text.trim_end_matches('/').ends_with(END) {
        sink.error(&at.span(), "this is the name of one backup, and here stand places of many").help("name the folder or the prefix");
        return None;
    }
    match &place {
        Destination::Path(path) => return path_of(at, path, home, sink),
        Destination::Node { node, folder } => {
            if !machines.iter().any(|m| m.name == *node) {
                let all: Vec<&str> = machines.iter().map(|m| m.name.as_str()).collect();
                let help =
                    nearest(node, &all).map_or_else(|| format!("the nodes are {}", all.join(", ")), |m| format!("did you mean `{m}`?"));
                sink.error(&at.span(), format!("no node is called `{}`", node.escape_debug())).help(help);
            }
            if let Some(swept) = SWEPT.iter().find(|swept| Path::new(folder).starts_with(swept)) {
                sink.warn(&at.span(), format!("what lies below {swept} does not stay: a restart, a reset or a restore may take it away"))
                    .help("as in node:shed:/srv/backups");
            }
        }
        Destination::Bucket(bucket) => {
            let name = bucket.split('/').next().unwrap_or_default();
            if !names::is_subdomain(name) || bucket.contains(|c: char| c.is_control() || "?#\\".contains(c)) {
                sink.error(&at.span(), format!("`{}` is not the name of a bucket, or of a place in one", bucket.escape_debug()))
                    .help("as in \"s3://backups/home\"; the key to it is in the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)");
            }
        }
    }
    Some(place)
}

fn path_of(at: &At<String>, path: &Path, home: &Path, sink: &mut Sink) -> Option<Destination> {
    let text = path.to_str().unwrap_or_default();
    let told = if text.trim().is_empty() {
        sink.error(&at.span(), "a place for backups without a name")
    } else if text.contains(char::is_control) {
        sink.error(&at.span(), format!("`{}` is not the name of a folder", text.escape_debug()))
    } else if text.starts_with('~') && !text.starts_with("~/") {
        sink.error(&at.span(), "only your own home folder has a short name")
    } else {
        let path: PathBuf = home_path(text, home);
        return Some(Destination::Path(path));
    };
    told.help("as in \"/mnt/nas/backups\", \"node:shed:/srv/backups\" or \"s3://backups/home\"");
    None
}

/// Backups that are only where the one copy of etcd's data is.
fn lost_together(places: &[(&At<String>, Destination)], machines: &[Machine], sink: &mut Sink) {
    let mut members = machines.iter().filter(|m| m.role == Role::ControlPlane);
    let (Some(only), None) = (members.next(), members.next()) else { return };
    let there = |place: &Destination| matches!(place, Destination::Node { node, .. } if *node == only.name);
    if let Some((at, _)) = places.first().filter(|_| places.iter().all(|(_, place)| there(place))) {
        sink.warn(&at.span(), format!("what takes `{}` away takes all backups with it: etcd's data is on no other machine", only.name))
            .help("add a place that is not on it");
    }
}
