//! What homectl writes into a user's inventory: the one value that is to change, comments and layout kept.

use super::{Inventory, read, source};
use crate::error::{Failure, Result, exit};
use crate::whole;
use semver::Version;
use std::path::{Path, PathBuf};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

/// An inventory that is being changed; on disk it stays as it was until [`Edit::save`].
#[derive(Debug, Clone)]
pub struct Edit {
    path: PathBuf,
    /// As it lies on disk.
    before: String,
    document: DocumentMut,
}

impl Edit {
    /// The file at `path`, which must be TOML; whether it is a good inventory is asked by [`Edit::inventory`].
    ///
    /// # Errors
    /// It cannot be read, or is no TOML.
    pub fn open(path: &Path) -> Result<Self> {
        let invalid = |problems| Failure::report(exit::INVENTORY, miette::Report::new(problems));
        let before = source::load(path)?.map_err(invalid)?.text().to_owned();
        let document = before.parse::<DocumentMut>().map_err(|e| {
            Failure::new(exit::INVENTORY, format!("{} is not TOML", path.display())).seen(e.to_string()).help("homectl validate says more")
        })?;
        Ok(Self { path: path.to_owned(), before, document })
    }

    /// The Kubernetes version as it is written there, whether this program knows it or not.
    #[must_use]
    pub fn kubernetes(&self) -> Option<&str> {
        self.document.get("cluster")?.get("kubernetes")?.as_str()
    }

    /// The Kubernetes version that is wanted.
    ///
    /// # Errors
    /// There is no such key to change.
    pub fn set_kubernetes(&mut self, version: &Version) -> Result<()> {
        let value = self.document.get_mut("cluster").and_then(|c| c.get_mut("kubernetes"));
        set(value, version.to_string().as_str()).ok_or_else(|| self.lacks("[cluster] kubernetes"))
    }

    /// Adds a `[[node]]` behind the last one.
    ///
    /// # Errors
    /// There are no `[[node]]` blocks to add it to.
    pub fn add_node(&mut self, node: &NewNode) -> Result<()> {
        let lacks = self.lacks("[[node]] blocks");
        let nodes = self.nodes().ok_or(lacks)?;
        let mut block = Table::new();
        for (key, text) in [("name", Some(&node.name)), ("address", Some(&node.address)), ("role", Some(&node.role))] {
            block.extend(text.map(|text| (key, value(text.as_str()))));
        }
        for (key, text) in [("site", &node.site), ("endpoint", &node.endpoint), ("user", &node.user), ("host-key", &node.host_key)] {
            block.extend(text.as_ref().map(|text| (key, value(text.as_str()))));
        }
        block.extend(node.port.map(|port| ("port", value(i64::from(port)))));
        block.extend(node.behind_nat.then(|| ("behind-nat", value(true))));
        block.decor_mut().set_prefix("\n");
        nodes.push(block);
        Ok(())
    }

    /// Takes the `[[node]]` of this name out, with the comments in it and above it; says whether there was one.
    pub fn remove_node(&mut self, name: &str) -> bool {
        let Some(nodes) = self.nodes() else { return false };
        let Some(i) = nodes.iter().position(|n| is(n, name)) else { return false };
        nodes.remove(i);
        true
    }

    /// Gives a node another address.
    ///
    /// # Errors
    /// There is no such node, or it has no address to change.
    pub fn set_address(&mut self, name: &str, address: &str) -> Result<()> {
        let lacks = self.lacks(&format!("[[node]] `{name}` with an address"));
        set(self.node(name).and_then(|n| n.get_mut("address")), address).ok_or(lacks)
    }

    /// Pins the host key of a node, in place of one that is pinned.
    pub fn set_host_key(&mut self, name: &str, fingerprint: &str) {
        let Some(node) = self.node(name) else { return };
        if set(node.get_mut("host-key"), fingerprint).is_none() {
            node.insert("host-key", value(fingerprint));
        }
    }

    fn nodes(&mut self) -> Option<&mut ArrayOfTables> {
        self.document.get_mut("node")?.as_array_of_tables_mut()
    }

    fn node(&mut self, name: &str) -> Option<&mut Table> {
        self.nodes()?.iter_mut().find(|n| is(n, name))
    }

    fn lacks(&self, what: &str) -> Failure {
        Failure::new(exit::INVENTORY, format!("{} has no {what}", self.path.display())).help("homectl validate says more")
    }

    /// The file's new text.
    #[must_use]
    pub fn text(&self) -> String {
        self.document.to_string()
    }

    /// What the new text means, judged as if it lay on disk.
    ///
    /// # Errors
    /// Its mistakes, with their places in the new text.
    pub fn inventory(&self) -> Result<Inventory> {
        read::text(&self.path, self.text()).map_err(|problems| Failure::report(exit::INVENTORY, miette::Report::new(problems)))
    }

    /// Writes the file where it differs; says whether it did.
    ///
    /// # Errors
    /// It changed on disk since it was opened, or cannot be written.
    pub fn save(&self) -> Result<bool> {
        let text = self.text();
        if text == self.before {
            return Ok(false);
        }
        let path = &self.path;
        if source::load(path)?.map_or_else(|_| true, |now| now.text() != self.before) {
            return Err(Failure::refused(format!("{} changed while homectl worked on it; it was left as it is", path.display()))
                .help("run the command again"));
        }
        whole::replace(path, text.as_bytes(), 0o644).map(|()| true).map_err(|e| {
            Failure::failed(format!("cannot write {}: {e}", path.display()))
                .help("nothing was changed; make room or mend the folder's rights, and run again")
        })
    }
}

/// What a new `[[node]]` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewNode {
    pub name: String,
    pub address: String,
    /// `control-plane` or `worker`.
    pub role: String,
    pub site: Option<String>,
    pub behind_nat: bool,
    pub endpoint: Option<String>,
    pub user: Option<String>,
    pub port: Option<u16>,
    pub host_key: Option<String>,
}

fn is(node: &Table, name: &str) -> bool {
    node.get("name").and_then(Item::as_str) == Some(name)
}

/// Puts `value` where one is, with what stands around it (a comment behind it, say).
fn set(item: Option<&mut Item>, value: impl Into<Value>) -> Option<()> {
    let old = item?.as_value_mut()?;
    let around = old.decor().clone();
    *old = value.into();
    *old.decor_mut() = around;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "# Our house.\n[cluster]\nname = \"home\"   # for life\nkubernetes   =  \"1.35.4\"    # keep an eye on it\n\n\
        [[node]] # the attic\nname = \"attic\"\naddress = \"192.168.1.20\"\nrole = \"control-plane\"\n";

    fn edit(home: &tempfile::TempDir, text: &str) -> (PathBuf, Result<Edit>) {
        let path = home.path().join("home.toml");
        std::fs::write(&path, text).unwrap();
        let edit = Edit::open(&path);
        (path, edit)
    }

    #[test]
    fn only_the_version_changes() {
        let home = tempfile::tempdir().unwrap();
        let (path, edit) = edit(&home, HOME);
        let mut edit = edit.unwrap();
        assert!(!edit.save().unwrap(), "nothing to write");
        edit.set_kubernetes(&Version::new(1, 36, 3)).unwrap();
        assert_eq!(edit.inventory().unwrap().kubernetes, Version::new(1, 36, 3));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), HOME, "not yet");
        assert!(edit.save().unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), HOME.replace("1.35.4", "1.36.3"));
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        let home = tempfile::tempdir().unwrap();
        let (path, edit) = edit(&home, HOME);
        let mut edit = edit.unwrap();
        edit.set_kubernetes(&Version::new(1, 36, 3)).unwrap();
        std::fs::write(&path, format!("{HOME}# more\n")).unwrap();
        assert_eq!(edit.save().unwrap_err().exit_code(), exit::REFUSED);
        assert!(std::fs::read_to_string(&path).unwrap().ends_with("# more\n"));
    }

    #[test]
    fn what_cannot_be_edited_is_told() {
        let home = tempfile::tempdir().unwrap();
        assert!(edit(&home, "a = [").1.is_err());
        let (_, nothing) = edit(&home, "[cluster]\nname = \"x\"\n");
        assert!(nothing.unwrap().set_kubernetes(&Version::new(1, 36, 3)).unwrap_err().to_string().contains("kubernetes"));
    }

    const THREE: &str = "# Our house.\n[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n\n# Under the roof.\n[[node]]\nname = \"attic\"\n\
        address = \"192.168.1.20\" # by the router\nrole = \"control-plane\"\n\n[[node]] # cold\nname = \"cellar\"\naddress = \"192.168.1.21\"\n\
        [node.labels]\n\"example.net/disk\" = \"big\"\n\n# Volumes.\n[[addon]]\nname = \"local-storage\"\n";

    #[test]
    fn a_node_comes_behind_the_last_and_goes_with_its_comments() {
        let home = tempfile::tempdir().unwrap();
        let mut edit = edit(&home, THREE).1.unwrap();
        let node = NewNode {
            name: "garage".into(),
            address: "garage.lan".into(),
            role: "worker".into(),
            site: Some("home".into()),
            port: Some(2222),
            ..NewNode::default()
        };
        edit.add_node(&node).unwrap();
        let block = "\n[[node]]\nname = \"garage\"\naddress = \"garage.lan\"\nrole = \"worker\"\nsite = \"home\"\nport = 2222\n";
        assert_eq!(edit.text(), THREE.replace("\n# Volumes", &format!("{block}\n# Volumes")));
        assert_eq!(edit.inventory().unwrap().nodes.len(), 3);
        assert!(edit.remove_node("garage") && !edit.remove_node("garage"));
        assert_eq!(edit.text(), THREE);
        assert!(edit.remove_node("attic"));
        let (from, to) = (THREE.find("\n# Under").unwrap(), THREE.find("\n[[node]] # cold").unwrap());
        assert_eq!(edit.text(), format!("{}{}", &THREE[..from], &THREE[to..]));
    }

    #[test]
    fn an_address_changes_where_it_stands() {
        let home = tempfile::tempdir().unwrap();
        let mut edit = edit(&home, THREE).1.unwrap();
        edit.set_address("attic", "192.168.9.20").unwrap();
        assert_eq!(edit.text(), THREE.replace("192.168.1.20", "192.168.9.20"));
        let before = edit.text();
        edit.set_host_key("attic", "SHA256:x");
        let role = "role = \"control-plane\"\n";
        assert_eq!(edit.text(), before.replace(role, &format!("{role}host-key = \"SHA256:x\"\n")));
        edit.set_host_key("attic", "SHA256:y");
        assert_eq!(edit.text(), before.replace(role, &format!("{role}host-key = \"SHA256:y\"\n")));
        assert!(edit.set_address("loft", "192.168.9.22").unwrap_err().to_string().contains("loft"));
    }
}
