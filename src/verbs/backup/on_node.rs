//! A folder on another node, as a place for backups: what goes there is encrypted, and root's alone.

use crate::backup::{Kept, ON_NODE, Shelf, sha256_of};
use crate::cluster::Cluster;
use crate::error::{Failure, Result, exit};
use crate::exec::{EventKind, Sink};
use crate::ssh::Connection;
use crate::verbs::fleet::Fleet;
use crate::want::quote;
use futures::future::BoxFuture;
use std::io::Write as _;
use std::path::Path;

/// Whose folder, as it was typed: `node:shed:/srv/backups`.
pub(in crate::verbs) struct OnNode {
    node: String,
    folder: String,
}

impl OnNode {
    /// Nothing where `place` is of another kind.
    pub(in crate::verbs) fn parse(place: &str) -> Result<Option<Self>> {
        let Some(rest) = place.strip_prefix(ON_NODE) else { return Ok(None) };
        let plain = |path: &str| {
            path.starts_with('/') && path.len() > 1 && !path.split('/').any(|part| part == "..") && !path.contains(char::is_control)
        };
        match rest.split_once(':') {
            Some((node, folder)) if !node.is_empty() && plain(folder) => {
                Ok(Some(Self { node: node.to_owned(), folder: folder.trim_end_matches('/').to_owned() }))
            }
            _ => Err(Failure::new(exit::USAGE, format!("`{place}` names no folder of a node"))
                .help("node:NAME:/FOLDER, for instance node:shed:/srv/backups")),
        }
    }

    /// Refused where there is no such node.
    pub(in crate::verbs) fn of(&self, cluster: &Cluster) -> Result<()> {
        if cluster.node(&self.node).is_some() {
            return Ok(());
        }
        Err(cluster.stranger(format!("there is no node `{}` to keep backups on", self.node)))
    }

    /// The folder, through the node's open session.
    pub(in crate::verbs) fn shelf(self, fleet: &Fleet, sink: Sink) -> Result<Box<dyn Shelf>> {
        match fleet.hosts.get(&self.node).cloned() {
            Some(host) => Ok(Box::new(Folder { place: self, host, sink })),
            None => Err(Failure::failed("it does not answer, so nothing can be kept on it")
                .on(self.node)
                .help("switch it on, or name another place")),
        }
    }
}

struct Folder {
    place: OnNode,
    host: Connection,
    sink: Sink,
}

impl Folder {
    async fn sh(&self, what: &str, script: &str) -> Result<String> {
        let reply = self.host.run(&format!("set -eu\n{script}"), &mut |_| ()).await.map_err(|e| e.into_failure(&self.place.node))?;
        if reply.status == 0 {
            return Ok(reply.output);
        }
        Err(Failure::failed(what)
            .on(&self.place.node)
            .seen(reply.output.trim())
            .help(format!("is there room and leave to write in {}?", self.place.folder)))
    }

    async fn keep(&self, name: &str, file: &Path) -> Result<()> {
        let (folder, to) = (quote(&self.place.folder), format!("{}/{name}", self.place.folder));
        let part = format!("{}/.{name}.part", self.place.folder);
        self.sh("its folder for backups cannot be made", &format!("umask 077\nmkdir -p -- {folder}\nrm -f -- {}\n", quote(&part))).await?;
        let total = std::fs::metadata(file).map_or(0, |m| m.len());
        let node = self.place.node.clone();
        let tell = |bytes| self.sink.tell(EventKind::Uploading { node: node.clone(), what: "backup".into(), bytes, total });
        self.host.upload(file.to_path_buf(), &part, &tell).await.map_err(|e| e.into_failure(&self.place.node))?;
        let (sum, part, to) = (sha256_of(file)?, quote(&part), quote(&to));
        let land = format!(
            "[ \"$(sha256sum <{part} | cut -c 1-64)\" = {sum} ] || {{ rm -f -- {part}; echo 'it did not arrive as it was sent'; exit 1; }}\n\
             [ ! -e {to} ] || {{ rm -f -- {part}; echo 'there is one of that name'; exit 1; }}\n\
             sync {part}\nmv -T -- {part} {to}\nsync {folder}\n"
        );
        self.sh("the backup could not be kept", &land).await.map(drop)
    }

    async fn all(&self) -> Result<Vec<Kept>> {
        let find = format!("[ -d {0} ] || exit 0\nfind {0} -maxdepth 1 -type f -printf '%s %f\\n'\n", quote(&self.place.folder));
        let told = self.sh("its folder for backups cannot be read", &find).await?;
        let one = |line: &str| {
            let (bytes, name) = line.split_once(' ')?;
            Some(Kept { name: name.to_owned(), bytes: bytes.parse().ok()? })
        };
        Ok(told.lines().filter_map(one).collect())
    }

    async fn bring(&self, name: &str, to: &Path) -> Result<()> {
        let local = |e: std::io::Error| Failure::failed(format!("{} cannot be written: {e}", to.display()));
        let mut file = std::fs::File::create(to).map_err(local)?;
        let from = format!("{}/{name}", self.place.folder);
        self.host.download(&from, &mut |piece| file.write_all(piece)).await.map_err(|e| e.into_failure(&self.place.node))?;
        file.sync_all().map_err(local)
    }
}

impl Shelf for Folder {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.keep(name, file))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        Box::pin(self.all())
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = quote(&format!("{}/{name}", self.place.folder));
            self.sh("an old backup could not be removed", &format!("rm -f -- {path}\n")).await.map(drop)
        })
    }

    fn get<'a>(&'a self, name: &'a str, to: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.bring(name, to))
    }

    fn show(&self, name: &str) -> String {
        format!("{ON_NODE}{}:{}/{name}", self.place.node, self.place.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Place, file_name};
    use crate::ssh::LocalShell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    #[test]
    fn what_was_typed() {
        assert!(OnNode::parse("/srv/backups").unwrap().is_none());
        let told = OnNode::parse("node:shed:/srv/backups/").unwrap().unwrap();
        assert_eq!((told.node.as_str(), told.folder.as_str()), ("shed", "/srv/backups"));
        for wrong in ["node:shed", "node:shed:srv", "node::/srv", "node:shed:/srv/../etc", "node:shed:/", "node:shed:/a\nb"] {
            let refused = OnNode::parse(wrong).err().map(|f| (f.exit_code(), f.remedy().is_some()));
            assert_eq!(refused, Some((exit::USAGE, true)), "{wrong}");
        }
    }

    /// The scripts for real: whole, private, the newest stay, nothing of that name is replaced.
    #[tokio::test]
    async fn a_folder_of_another_machine_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("it's here");
        let host: Connection = Arc::new(LocalShell::new().await.unwrap());
        let place = OnNode { node: "shed".into(), folder: folder.display().to_string() };
        let place = Place::Shelf(Box::new(Folder { place, host, sink: Sink::new(|_| ()) }));
        assert!(place.list("home").await.unwrap().is_empty(), "no folder holds nothing");
        let name = |day: i8| {
            file_name("home", jiff::civil::date(2026, 11, day).at(6, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp())
        };
        for day in [1, 2, 3] {
            let staged = place.staging().unwrap();
            fs::write(staged.path(), format!("backup {day}")).unwrap();
            let kept = place.keep(staged, &name(day)).await.unwrap();
            assert_eq!(kept, format!("node:shed:{}/{}", folder.display(), name(day)));
        }
        fs::write(folder.join("notes"), "mine").unwrap();
        assert_eq!(place.rotate("home", 2).await.unwrap(), [name(1)]);
        let left: Vec<String> = place.list("home").await.unwrap().into_iter().map(|k| k.name).collect();
        assert_eq!(left, [name(3), name(2)]);
        let staged = place.staging().unwrap();
        fs::write(staged.path(), "another").unwrap();
        assert!(place.keep(staged, &name(3)).await.is_err());
        let brought = place.bring(&name(3)).await.unwrap();
        assert_eq!(fs::read_to_string(brought.path()).unwrap(), "backup 3");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(name(3)))), (0o700, 0o600));
        let names: Vec<String> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 3, "{names:?}");
    }
}
