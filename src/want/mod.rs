//! Kinds of desired state, one file each. Data in, data out: no I/O.
//!
//! A [`Want`] says what should hold, how to look ([`probe`]), what stands between the host and it ([`Want::diff`]),
//! and how to be absent. What a look saw is a [`Seen`]; a look that failed is [`Seen::Unknown`] and becomes *blocked*,
//! never *absent* and never *settled*.

mod account;
mod change;
mod dir;
mod file;
mod guard;
mod leaf;
mod link;
mod module;
mod object;
mod obstacle;
mod packages;
mod places;
pub mod probe;
mod program;
mod sealed;
mod seen;
mod shell;
mod sysctl;
mod unit;
#[expect(clippy::module_inception, reason = "the enum has the name of the module")]
mod want;

pub use account::Account;
pub use change::{Act, Change, Impact, Lines, Run, Seats, Verdict};
pub use dir::Dir;
pub use file::{Body, File};
pub use guard::Guard;
pub use leaf::{Leaf, LeafForm, Measure};
pub use link::Link;
pub use module::Module;
pub use object::{BUILTIN_NAMESPACES, Certificate, Object, TAINTS, is_ours, node_patch};
pub use obstacle::Obstacle;
pub use packages::Packages;
pub use program::{Program, STORE};
pub use sealed::{NOT_COMPARED, Sealed, SealedLine};
pub use seen::{GuardSeen, Inode, InodeKind, Seen, UnitSeen};
pub use shell::{Sh, quote};
pub use sysctl::Sysctl;
pub use unit::{Unit, UnitState};
pub use want::{Notify, Want};
