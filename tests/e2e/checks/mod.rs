//! What must hold in a cluster, each proven by a program that is not ours.

pub(crate) mod budget;
pub(crate) mod machines;
pub(crate) mod network;
pub(crate) mod security;
pub(crate) mod state;
pub(crate) mod upkeep;
pub(crate) mod workloads;

use crate::kubectl::Kubectl;
use crate::lab::Lab;

/// A cluster in the lab, and the machines it has.
pub(crate) struct Cluster<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) kubectl: Kubectl,
    pub(crate) nodes: Vec<Node>,
    /// A machine of the LAN that is no node, where there is one.
    pub(crate) spare: Option<&'static str>,
}

/// A node as the inventory has it.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) name: &'static str,
    /// The last number of its LAN address.
    pub(crate) host: u8,
    pub(crate) control_plane: bool,
}

impl Cluster<'_> {
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.nodes.iter().map(|node| node.name).collect()
    }

    pub(crate) fn control_plane(&self) -> &'static str {
        self.nodes.iter().find(|node| node.control_plane).map_or("attic", |node| node.name)
    }
}
