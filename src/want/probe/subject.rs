//! What of a want a look has to see.

use crate::want::{File, UnitState, Want};

/// What the file-system section looks at, or `None` for other kinds.
pub(super) fn inode_path(want: &Want) -> Option<&str> {
    match want {
        Want::Dir(w) => Some(&w.path),
        Want::File(w) => Some(&w.path),
        Want::Link(w) => Some(&w.path),
        _ => None,
    }
}

/// Whether the content of this want is hashed on the node.
pub(super) fn hashed(want: &Want) -> Option<&File> {
    match want {
        Want::File(f) if !f.seed && f.body.is_some() => Some(f),
        _ => None,
    }
}

/// Whether this want asks for presence at all (the digest shortcut only knows presence).
pub(super) fn present(want: &Want) -> bool {
    match want {
        Want::Dir(w) => w.present,
        Want::File(w) => w.body.is_some(),
        Want::Link(w) => w.target.is_some(),
        Want::Leaf(w) => w.body.is_some(),
        Want::Account(w) => w.present,
        Want::Unit(w) => w.state == UnitState::Running,
        Want::Object(w) => w.present,
        Want::Guard(_) | Want::Module(_) | Want::Packages(_) | Want::Program(_) | Want::Sysctl(_) => true,
    }
}
