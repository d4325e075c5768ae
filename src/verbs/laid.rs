//! Files of the operator that are lost come back from the backup that is about to be restored; where nothing comes of the restore, they
//! go again: a secrets file of last January would pass for the cluster's own.

use super::backup::lay_out;
use super::kept::Kept;
use super::world::secrets_beside;
use crate::backup::Content;
use crate::cluster::Lock;
use crate::error::Result;
use std::path::Path;

/// Writes what is missing beside `inventory`, where it, its lock or its secrets are missing, and tells of each file. They stay once
/// that is settled.
///
/// # Errors
/// What the file system said.
pub(super) fn lay_out_what_is_lost(content: &Content, inventory: &Path, tell: &dyn Fn(&str)) -> Result<Option<Kept>> {
    if [inventory.to_path_buf(), Lock::path(inventory), secrets_beside(inventory)].iter().all(|path| path.exists()) {
        return Ok(None);
    }
    let laid = lay_out(content, inventory)?;
    for path in &laid.written {
        tell(&format!("Wrote {} (from the backup; it goes again unless the restore is begun).", path.display()));
    }
    laid.left_out().for_each(|line| tell(&line));
    Ok(Some(Kept::made(laid.written)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{INVENTORY, LOCK, Manifest, SECRETS, Snapshot};
    use std::cell::RefCell;
    use std::fs;

    fn content() -> Content {
        let manifest = Manifest {
            format: 1,
            homectl: "0.1.0".into(),
            cluster: "home".into(),
            time: "2026-01-22T06:00:00Z".into(),
            node: "attic".into(),
            kubernetes: "1.36.3".into(),
            etcd: "v3.6.16".into(),
            etcd_cluster_id: "0123456789abcdef".into(),
            snapshot: Snapshot { revision: 7, keys: 5, hash: 1, hash_kv: 2, compacted: -1 },
            parts: Vec::new(),
        };
        let parts =
            [INVENTORY, LOCK, SECRETS, "manifests/.profile"].map(|name| (name.to_owned(), zeroize::Zeroizing::new(b"january".to_vec())));
        Content { manifest, parts: parts.into_iter().collect() }
    }

    #[test]
    fn any_of_the_three_comes_back_and_goes_again_where_nothing_comes_of_it() {
        let home = tempfile::tempdir().unwrap();
        let inventory = home.path().join("house.toml");
        let three = [inventory.clone(), Lock::path(&inventory), secrets_beside(&inventory)];
        for lost in &three {
            for path in &three {
                fs::write(path, "mine").unwrap();
            }
            let said = RefCell::new(Vec::new());
            let lay = || lay_out_what_is_lost(&content(), &inventory, &|line| said.borrow_mut().push(line.to_owned())).unwrap();
            assert!(lay().is_none() && said.borrow().is_empty(), "nothing is lost");
            let is = |text: &str| three.iter().all(|path| fs::read_to_string(path).unwrap() == if path == lost { text } else { "mine" });

            fs::remove_file(lost).unwrap();
            let declined = lay();
            assert!(is("january") && said.borrow()[0].contains(&lost.display().to_string()), "{said:?}");
            assert!(said.borrow()[1].starts_with("Not written: manifests/.profile") && !home.path().join(".profile").exists(), "{said:?}");
            drop(declined);
            assert!(!lost.exists() && three.iter().filter(|path| path.exists()).count() == 2, "{}", lost.display());

            lay().unwrap().settle();
            assert!(is("january"), "{}", lost.display());
        }
    }
}
