//! A place of backups, or one backup there, as somebody named it: on this computer, in a bucket, or on a node, to which the inventory
//! says the way. Everything that reads backups finds them here.

use super::on_node::OnNode;
use crate::backup::{Kept, Place};
use crate::cli::Global;
use crate::error::{Failure, Result, exit};
use crate::inventory::{self, Destination, Inventory, NoPlace};
use crate::report::Reporter;
use crate::verbs::fleet;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What was named, with the way there open.
pub(in crate::verbs) struct Named {
    place: Place,
    /// The one that was named; without it, all that the place keeps.
    pub(in crate::verbs) one: Option<String>,
    /// As it was typed.
    text: String,
}

/// A backup on this computer.
pub(in crate::verbs) struct AtHand {
    /// Where it lies, for people.
    pub(in crate::verbs) shown: String,
    pub(in crate::verbs) file: PathBuf,
    /// Goes with this value, where it is a copy.
    pub(in crate::verbs) copy: Option<NamedTempFile>,
}

/// Wrong usage.
pub(super) fn no_place(why: NoPlace) -> Failure {
    Failure::new(exit::USAGE, why.what).help(why.help)
}

impl Named {
    /// Finds what is called `text`; a node is reached as the inventory says, and nothing else of that has to be there.
    ///
    /// # Errors
    /// It names no place; the node is none, does not answer or does not let in.
    pub(in crate::verbs) async fn find(text: &str, inventory: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let (destination, one) = Destination::parse(text).map_err(no_place)?.split();
        let place = Self::place(destination, text, inventory, global, out).await?;
        Ok(Self { place, one, text: text.to_owned() })
    }

    /// One of the inventory's places.
    ///
    /// # Errors
    /// As [`Named::find`].
    pub(super) async fn of(destination: Destination, inventory: &Path, global: &Global, out: &Reporter) -> Result<Self> {
        let text = destination.to_string();
        let place = Self::place(destination, &text, inventory, global, out).await?;
        Ok(Self { place, one: None, text })
    }

    async fn place(destination: Destination, text: &str, inventory: &Path, global: &Global, out: &Reporter) -> Result<Place> {
        Ok(match destination {
            Destination::Path(folder) => Place::Folder(folder),
            Destination::Bucket(bucket) => Place::bucket(&bucket, &super::act::env)?,
            Destination::Node { node, folder } => {
                let inventory = guide(text, inventory)?;
                let machine = inventory.machine(&node, unknown(&node))?;
                let host =
                    fleet::visit(&inventory, machine, global, out).await.map_err(|failure| unread(failure, text, &inventory, &node))?;
                Place::Shelf(Box::new(OnNode { node, folder, host, sink: out.sink() }))
            }
        })
    }

    /// The backups that the place keeps, whosever.
    pub(super) async fn all(&self) -> Result<Vec<Kept>> {
        self.place.list_all().await
    }

    /// The one that was named, on this computer; where a place was, the newest there of `cluster`.
    pub(in crate::verbs) async fn bring(&self, cluster: impl FnOnce() -> Result<String>) -> Result<AtHand> {
        let newest = match &self.one {
            Some(_) => None,
            None => Some(self.newest(&cluster()?).await?),
        };
        let name = self.one.as_ref().or(newest.as_ref()).map_or("", String::as_str);
        let (file, copy) = self.place.bring(name).await?;
        Ok(AtHand { shown: self.place.show(name), file, copy })
    }

    async fn newest(&self, cluster: &str) -> Result<String> {
        let newest = self.place.list(cluster).await?.into_iter().next();
        newest.map(|kept| kept.name).ok_or_else(|| {
            Failure::failed(format!("{} holds no backup of the cluster {cluster}", self.text))
                .help(format!("homectl backup --to {} makes one", self.text))
        })
    }

    /// The one that was named.
    ///
    /// # Errors
    /// Wrong usage: it is a place of many, of which the newest are shown.
    pub(in crate::verbs) async fn bring_one(&self) -> Result<AtHand> {
        if self.one.is_some() {
            return self.bring(|| Ok(String::new())).await;
        }
        let newest: Vec<String> = self.all().await?.iter().take(5).map(|kept| self.place.show(&kept.name)).collect();
        Err(Failure::new(exit::USAGE, format!("{} is no backup but a place of them", self.text))
            .seen(newest.join("\n"))
            .help("name one of them (homectl backup list says which there are)"))
    }
}

/// Who is no node, for [`Inventory::machine`].
pub(super) fn unknown(node: &str) -> String {
    format!("there is no node `{node}` that backups could lie on")
}

/// The inventory that says where nodes are.
fn guide(text: &str, path: &Path) -> Result<Inventory> {
    if path.exists() {
        return inventory::read(path);
    }
    Err(Failure::new(exit::USAGE, format!("{text} lies on a node, and there is no inventory that says how to reach it"))
        .seen(format!("{} is not there", path.display()))
        .help("name the inventory; where it is lost, copy the backup here by hand (scp) and name the copy"))
}

/// A machine that cannot be asked for what it keeps: what stands in the way, and which other places the inventory knows.
fn unread(failure: Failure, text: &str, inventory: &Inventory, off: &str) -> Failure {
    let remedy = failure.remedy().map_or_else(String::new, |remedy| format!("{remedy}; or "));
    let is_elsewhere = |place: &&Destination| !matches!(place, Destination::Node { node, .. } if node == off);
    let others: Vec<String> = inventory.backups.to.iter().filter(is_elsewhere).map(ToString::to_string).collect();
    let others = if others.is_empty() { String::new() } else { format!(": {}", others.join(", ")) };
    failure.seen(format!("{text} lies on it")).help(format!("{remedy}name a copy that is kept somewhere else{others}"))
}
