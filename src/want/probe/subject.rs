//! What of a want a look has to see.

use crate::want::{Body, File, Leaf, Measure, UnitState, Want};

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
        Want::File(f) if !f.seed && matches!(f.body, Some(Body::Text(_) | Body::Secret(_))) => Some(f),
        _ => None,
    }
}

/// What is read as text, since its digest is not known: a file of which some is known without the secrets, or the CA that a
/// certificate is held against.
pub(super) fn read(want: &Want) -> Option<&str> {
    match want {
        Want::File(File { path, seed: false, body: Some(Body::Sealed(sealed)), .. }) if sealed.is_read() => Some(path),
        Want::Leaf(Leaf { ca_path, measure: Some(Measure::Machine), .. }) => Some(ca_path),
        _ => None,
    }
}

/// Whether this want asks for presence at all (the digest shortcut only knows presence).
pub(super) fn present(want: &Want) -> bool {
    match want {
        Want::Dir(w) => w.present,
        Want::File(w) => w.body.is_some(),
        Want::Link(w) => w.target.is_some(),
        Want::Leaf(w) => w.measure.is_some(),
        Want::Account(w) => w.present,
        Want::Unit(w) => w.state == UnitState::Running,
        Want::Object(w) => w.present,
        Want::Guard(_) | Want::Module(_) | Want::Packages(_) | Want::Program(_) | Want::Sysctl(_) => true,
    }
}
