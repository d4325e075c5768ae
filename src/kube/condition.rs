//! Evidence in the API that something is up, as values: what to look at, and what was seen last.

use std::fmt;

/// One thing that must hold in the API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// A Deployment has its minimum of available pods, of its current template.
    DeploymentAvailable { namespace: String, name: String },
    /// Every pod of a `DaemonSet` is ready and of its current template.
    DaemonSetReady { namespace: String, name: String },
    /// Every replica of a `StatefulSet` is ready.
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

impl Condition {
    /// The namespace of the workload that it is about, and what kubectl calls that: `deployment/coredns`.
    #[must_use]
    pub fn workload(&self) -> Option<(&str, String)> {
        let (kind, namespace, name) = match self {
            Self::DeploymentAvailable { namespace, name } => ("deployment", namespace, name),
            Self::DaemonSetReady { namespace, name } => ("daemonset", namespace, name),
            Self::StatefulSetReady { namespace, name } => ("statefulset", namespace, name),
            Self::ApiServiceAvailable { .. } | Self::CrdEstablished { .. } | Self::JobComplete { .. } | Self::NodesReady { .. } => {
                return None;
            }
        };
        Some((namespace, format!("{kind}/{name}")))
    }

    /// What it is about: `Deployment kube-system/coredns`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::DeploymentAvailable { namespace, name } => format!("Deployment {namespace}/{name}"),
            Self::DaemonSetReady { namespace, name } => format!("DaemonSet {namespace}/{name}"),
            Self::StatefulSetReady { namespace, name } => format!("StatefulSet {namespace}/{name}"),
            Self::ApiServiceAvailable { name } => format!("APIService {name}"),
            Self::CrdEstablished { name } => format!("CustomResourceDefinition {name}"),
            Self::JobComplete { namespace, name } => format!("Job {namespace}/{name}"),
            Self::NodesReady { names } => format!("nodes {}", names.join(", ")),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = match self {
            Self::DeploymentAvailable { .. } => "is available",
            Self::DaemonSetReady { .. } | Self::StatefulSetReady { .. } => "is ready",
            Self::ApiServiceAvailable { .. } => "answers",
            Self::CrdEstablished { .. } => "is established",
            Self::JobComplete { .. } => "is complete",
            Self::NodesReady { .. } => "are Ready",
        };
        write!(f, "{} {holds}", self.subject())
    }
}
