//! What the keys mean together: every rule, one file a topic. `whole` asks all of them and forgets the places.

mod addons;
mod backup;
mod cluster;
mod extras;
mod labels;
mod network;
mod nodes;
mod reach;

mod whole;

pub(super) use whole::whole;
