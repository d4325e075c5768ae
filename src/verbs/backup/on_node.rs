//! A folder on another node, as a place for backups: what goes there is encrypted, and root's alone.

use crate::backup::{Kept, Shelf, sha256_of};
use crate::error::{Failure, Result};
use crate::exec::{EventKind, Sink};
use crate::ssh::Connection;
use crate::want::quote;
use futures::future::BoxFuture;
use std::io::Write as _;
use std::path::Path;

/// `node:shed:/srv/backups`, through an open session with the node.
pub(super) struct OnNode {
    pub(super) node: String,
    /// Its whole path, without a slash at the end.
    pub(super) folder: String,
    pub(super) host: Connection,
    pub(super) sink: Sink,
}

impl OnNode {
    async fn sh(&self, what: &str, script: &str) -> Result<String> {
        let reply = self.host.run(&format!("set -eu\n{script}"), &mut |_| ()).await.map_err(|e| e.into_failure(&self.node))?;
        if reply.status == 0 {
            return Ok(reply.output);
        }
        Err(Failure::failed(what).on(&self.node).seen(reply.output.trim()))
    }

    async fn write(&self, what: &str, script: &str) -> Result<String> {
        let help = || {
            format!(
                "is there room and leave to write in {}? If another of that name is there (they tell seconds): run the command again",
                self.folder
            )
        };
        self.sh(what, script).await.map_err(|failure| failure.help(help()))
    }

    /// What was kept and is no more was, as a rule, on a machine that was installed anew, or on a disk that is not mounted.
    async fn look(&self, what: &str, script: &str) -> Result<String> {
        let help = "was the machine installed anew, or is a disk not mounted? `homectl backup list` says which backups a place has";
        self.sh(what, script).await.map_err(|failure| failure.help(help))
    }

    async fn keep(&self, name: &str, file: &Path) -> Result<()> {
        let (folder, to) = (quote(&self.folder), format!("{}/{name}", self.folder));
        let part = format!("{}/.{name}.part", self.folder);
        // What was cut off on its way has another name, since names tell seconds.
        let room = format!(
            "umask 077\nmkdir -p -- {folder}\nrm -f -- {}\n\
             find -H {folder} -maxdepth 1 -type f -name '.*.backup.age.part' -mmin +60 -delete || :\n",
            quote(&part)
        );
        self.write("its folder for backups cannot be made", &room).await?;
        let total = std::fs::metadata(file).map_or(0, |m| m.len());
        let node = self.node.clone();
        let tell = |bytes| self.sink.tell(EventKind::Uploading { node: node.clone(), what: "backup".into(), bytes, total });
        self.host.upload(file.to_path_buf(), &part, &tell).await.map_err(|e| e.into_failure(&self.node))?;
        let (sum, part, to) = (sha256_of(file)?, quote(&part), quote(&to));
        let land = format!(
            "[ \"$(sha256sum <{part} | cut -c 1-64)\" = {sum} ] || {{ rm -f -- {part}; echo 'it did not arrive as it was sent'; exit 1; }}\n\
             [ ! -e {to} ] || {{ rm -f -- {part}; echo 'there is one of that name, which is not replaced'; exit 1; }}\n\
             sync {part}\nmv -T -- {part} {to}\nsync {folder}\n"
        );
        self.write("the backup could not be kept", &land).await.map(drop)
    }

    async fn all(&self) -> Result<Vec<Kept>> {
        let folder = quote(&self.folder);
        // A link to a folder is one.
        let find = format!(
            "[ -d {folder} ] || {{ echo 'there is no such folder'; exit 1; }}\nfind -H {folder} -maxdepth 1 -type f -printf '%s %f\\n'\n"
        );
        let told = self.look(&format!("{} cannot be read", self.folder), &find).await?;
        let one = |line: &str| {
            let (bytes, name) = line.split_once(' ')?;
            Some(Kept { name: name.to_owned(), bytes: bytes.parse().ok()? })
        };
        Ok(told.lines().filter_map(one).collect())
    }

    /// Brings it here; it must be what it is there.
    async fn bring(&self, name: &str, to: &Path) -> Result<()> {
        let local = |e: std::io::Error| Failure::failed(format!("{} cannot be written: {e}", to.display()));
        let from = format!("{}/{name}", self.folder);
        let (file, folder) = (quote(&from), quote(&self.folder));
        let ask = format!(
            "[ -d {folder} ] || {{ echo 'there is no such folder'; exit 1; }}\n\
             [ -f {file} ] || {{ echo 'the folder has:'; find -H {folder} -maxdepth 1 -name '*.age' -printf '%f\\n' | sort | tail -n 5; exit 1; }}\n\
             stat -L -c %s {file}\nsha256sum <{file} | cut -c 1-64\n"
        );
        let told = self.look(&format!("{from} is not there"), &ask).await?;
        let (bytes, there) = told.split_once('\n').unwrap_or_default();
        let (mut done, total) = (0, bytes.parse().ok());
        let mut kept = std::fs::File::create(to).map_err(local)?;
        let mut take = |piece: &[u8]| {
            done += piece.len() as u64;
            self.sink.tell(EventKind::Fetching { what: format!("backup from {}", self.node), bytes: done, total });
            kept.write_all(piece)
        };
        self.host.download(&from, &mut take).await.map_err(|e| e.into_failure(&self.node))?;
        kept.sync_all().map_err(local)?;
        let here = sha256_of(to)?;
        if here == there.trim() {
            return Ok(());
        }
        Err(Failure::failed(format!("{from} did not arrive as it is there"))
            .on(&self.node)
            .seen(format!("sha256 there {}", there.trim()))
            .seen(format!("sha256 here {here}"))
            .help("run the command again"))
    }
}

impl Shelf for OnNode {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.keep(name, file))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Kept>>> {
        Box::pin(self.all())
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let path = quote(&format!("{}/{name}", self.folder));
            self.write("an old backup could not be removed", &format!("rm -f -- {path}\n")).await.map(drop)
        })
    }

    fn get<'a>(&'a self, name: &'a str, to: &'a Path) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.bring(name, to))
    }

    fn show(&self, name: &str) -> String {
        format!("node:{}:{}/{name}", self.node, self.folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{Place, file_name};
    use crate::ssh::{Fake, LocalShell};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    fn shed(folder: &Path, host: Connection) -> Place {
        let (node, folder) = ("shed".into(), folder.display().to_string());
        Place::Shelf(Box::new(OnNode { node, folder, host, sink: Sink::new(|_| ()) }))
    }

    fn name(day: i8) -> String {
        file_name("home", jiff::civil::date(2026, 11, day).at(6, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp())
    }

    /// The scripts for real: whole, private, the newest stay, nothing of that name is replaced.
    #[tokio::test]
    async fn a_folder_of_another_machine_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("it's here");
        let place = shed(&folder, Arc::new(LocalShell::new().await.unwrap()));
        for day in [1, 2, 3] {
            let staged = place.staging().unwrap();
            fs::write(staged.path(), format!("backup {day}")).unwrap();
            let kept = place.keep(staged, &name(day)).await.unwrap();
            assert_eq!(kept, format!("node:shed:{}/{}", folder.display(), name(day)));
        }
        fs::write(folder.join("notes"), "mine").unwrap();
        // Cut off on their way: one long ago, one that may still come.
        for (day, hours) in [(4, 2), (5, 0)] {
            let part = folder.join(format!(".{}.part", name(day)));
            fs::write(&part, "half").unwrap();
            let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
            fs::File::options().append(true).open(part).unwrap().set_modified(then).unwrap();
        }
        let all = place.list("home").await.unwrap();
        assert_eq!(place.rotate(&all, 2, &name(3)).await.unwrap(), [name(1)]);
        let left: Vec<String> = place.list("home").await.unwrap().into_iter().map(|k| k.name).collect();
        assert_eq!(left, [name(3), name(2)]);
        let staged = place.staging().unwrap();
        fs::write(staged.path(), "another").unwrap();
        assert!(place.keep(staged, &name(3)).await.is_err());
        let (brought, _temporary) = place.bring(&name(3)).await.unwrap();
        assert_eq!(fs::read_to_string(&brought).unwrap(), "backup 3");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(name(3)))), (0o700, 0o600));
        let names: Vec<String> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.len(), 4, "{names:?}");
        assert!(names.contains(&format!(".{}.part", name(5))), "{names:?}");
    }

    /// A disk that is mounted elsewhere is often named by a link.
    #[tokio::test]
    async fn a_link_to_a_folder_is_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        fs::write(dir.path().join("disk").join(name(1)), "backup 1").unwrap();
        std::os::unix::fs::symlink("disk", dir.path().join("backups")).unwrap();
        let place = shed(&dir.path().join("backups"), Arc::new(LocalShell::new().await.unwrap()));
        assert_eq!(place.list("home").await.unwrap(), [Kept { name: name(1), bytes: 8 }]);
    }

    #[tokio::test]
    async fn what_is_no_more_is_told_with_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        let host: Connection = Arc::new(LocalShell::new().await.unwrap());
        let nowhere = shed(&dir.path().join("gone"), Arc::clone(&host));
        let lost = nowhere.list("home").await.unwrap_err();
        assert_eq!((lost.node(), lost.evidence()[0].as_str()), (Some("shed"), "there is no such folder"));
        assert!(lost.remedy().unwrap().contains("installed anew"), "{lost}");
        assert_eq!(nowhere.bring(&name(2)).await.unwrap_err().evidence(), ["there is no such folder"]);
        fs::write(dir.path().join(name(1)), "backup 1").unwrap();
        let lost = shed(dir.path(), host).bring(&name(2)).await.unwrap_err();
        assert_eq!(lost.what(), format!("{}/{} is not there", dir.path().display(), name(2)));
        assert_eq!(lost.evidence(), ["the folder has:".to_owned(), name(1)]);
    }

    /// A disk that gives other bytes the second time.
    #[tokio::test]
    async fn what_comes_otherwise_than_it_lies_there_is_refused() {
        let sum = crate::backup::sha256(b"backup 1");
        let fake = |bytes: &str| -> Connection {
            Arc::new(Fake::new().reply("sha256sum", &format!("8\n{sum}\n"), 0).file("/srv/backups/x.age", bytes))
        };
        let (brought, _temporary) = shed(Path::new("/srv/backups"), fake("backup 1")).bring("x.age").await.unwrap();
        assert_eq!(fs::read_to_string(brought).unwrap(), "backup 1");
        let failure = shed(Path::new("/srv/backups"), fake("backup 2")).bring("x.age").await.unwrap_err();
        assert_eq!((failure.node(), failure.what()), (Some("shed"), "/srv/backups/x.age did not arrive as it is there"));
        assert_eq!(failure.evidence()[0], format!("sha256 there {sum}"));
    }
}
