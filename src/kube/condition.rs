//! Evidence in the API that something is up, as values: what to look at, and what was seen last.

use std::fmt;

/// One thing that must hold in the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A Deployment has its minimum of available pods, of its current template.
    DeploymentAvailable { namespace: String, name: String },
    /// Every pod of a DaemonSet is ready and of its current template.
    DaemonSetReady { namespace: String, name: String },
    /// Every replica of a StatefulSet is ready.
    StatefulSetReady { namespace: String, name: String },
    /// An aggregated API answers.
    ApiServiceAvailable { name: String },
    /// A custom resource's definition is served.
    CrdEstablished { name: String },
    /// A Job ran to its end.
    JobComplete { namespace: String, name: String },
    /// These nodes are Ready.
    NodesReady { names: Vec<String> },
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeploymentAvailable { namespace, name } => write!(f, "Deployment {namespace}/{name} is available"),
            Self::DaemonSetReady { namespace, name } => write!(f, "DaemonSet {namespace}/{name} is ready"),
            Self::StatefulSetReady { namespace, name } => write!(f, "StatefulSet {namespace}/{name} is ready"),
            Self::ApiServiceAvailable { name } => write!(f, "APIService {name} answers"),
            Self::CrdEstablished { name } => write!(f, "CustomResourceDefinition {name} is established"),
            Self::JobComplete { namespace, name } => write!(f, "Job {namespace}/{name} is complete"),
            Self::NodesReady { names } => write!(f, "nodes {} are Ready", names.join(", ")),
        }
    }
}
