//! Add-ons in the order of their needs; those that need nothing stay as they were listed.

use crate::inventory::AddonEntry;
use std::collections::{BTreeMap, BTreeSet};

/// Indices in an order where needs come first. The inventory was checked: no circles.
pub(super) fn by_needs(addons: &[AddonEntry]) -> Vec<usize> {
    let index: BTreeMap<&str, usize> = addons.iter().enumerate().map(|(i, a)| (a.name.as_str(), i)).collect();
    let mut done = BTreeSet::new();
    let mut order = Vec::new();
    for start in 0..addons.len() {
        // What is to be placed, with the next of its needs to look at.
        let mut stack = vec![(start, 0)];
        while let Some((at, next)) = stack.pop() {
            if done.contains(&at) {
                continue;
            }
            if let Some(need) = addons[at].needs.get(next) {
                stack.push((at, next + 1));
                if let Some(&i) = index.get(need.as_str())
                    && !done.contains(&i)
                {
                    stack.push((i, 0));
                }
            } else {
                done.insert(at);
                order.push(at);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addon(name: &str, needs: &[&str]) -> AddonEntry {
        AddonEntry { name: name.to_owned(), needs: needs.iter().map(|n| (*n).to_owned()).collect(), manifests: Vec::new() }
    }

    #[test]
    fn needs_come_first_and_the_rest_stays() {
        let addons =
            [addon("web", &["db", "cache"]), addon("log", &[]), addon("db", &["disk"]), addon("cache", &["disk"]), addon("disk", &[])];
        let names: Vec<&str> = by_needs(&addons).into_iter().map(|i| addons[i].name.as_str()).collect();
        assert_eq!(names, ["disk", "db", "cache", "web", "log"]);
    }

    #[test]
    fn a_long_chain_does_not_overflow_the_stack() {
        let mut addons: Vec<_> = (0..50_000).map(|i| addon(&format!("a{i}"), &[&format!("a{}", i + 1)])).collect();
        addons.push(addon("a50000", &[]));
        let order = by_needs(&addons);
        assert_eq!((order[0], order[50_000]), (50_000, 0));
    }
}
