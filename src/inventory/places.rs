//! Where the parts of an inventory stand in its file, for annotations.

use super::source;
use std::collections::BTreeMap;
use std::path::Path;
use toml::de::DeTable;

/// 1-based lines by part: `node attic`, `addon media`. Empty where the file cannot be read: others tell that.
#[must_use]
pub fn places(path: &Path) -> BTreeMap<String, usize> {
    let Ok(Ok(source)) = source::load(path) else { return BTreeMap::new() };
    let (document, _) = DeTable::parse_recoverable(source.text());
    let mut places = BTreeMap::new();
    for kind in ["node", "addon"] {
        let tables = document.get_ref().get(kind).and_then(|v| v.get_ref().as_array());
        for table in tables.into_iter().flat_map(|all| all.iter()) {
            let name = table.get_ref().as_table().and_then(|t| t.get("name")).and_then(|n| n.get_ref().as_str());
            if let Some(name) = name {
                places.insert(format!("{kind} {name}"), source.position(table.span().start).0);
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_addons_are_found() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("i.toml");
        std::fs::write(&path, "[cluster]\nname = \"home\"\n\n[[node]]\nname = \"attic\"\n\n[[node]]\naddress = \"x\"\nname = \"barn\"\n[[addon]]\nname = \"media\"\n").unwrap();
        let found: Vec<(String, usize)> = places(&path).into_iter().collect();
        assert_eq!(found, [("addon media".into(), 10), ("node attic".into(), 4), ("node barn".into(), 7)]);
    }
}
