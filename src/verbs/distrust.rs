//! Pods that began before the authorities of today do not trust the API until they begin again: what hangs on them cannot be waited for.

use crate::kube::{Condition, Holder};
use crate::steps::{Step, Test};

/// Which workloads have pods that do not trust the API servers' certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Distrust {
    #[default]
    Nobody,
    /// Nobody knows which.
    Anybody,
    These(Vec<Holder>),
}

impl Distrust {
    /// Takes out of what a step in the API waits for what may not come before such pods begin again.
    pub(super) fn lift(&self, step: &mut Step) {
        let Some(ready) = &mut step.ready else { return };
        let Test::Api(conditions) = &mut ready.test else { return };
        conditions.retain(|c| !self.stalls(c));
        if conditions.is_empty() {
            step.ready = None;
        }
    }

    fn stalls(&self, condition: &Condition) -> bool {
        let all = match self {
            Self::Nobody => return false,
            Self::Anybody => true,
            Self::These(holders) if holders.is_empty() => return false,
            Self::These(holders) => holders.iter().any(|h| h.is_in(condition)),
        };
        match condition {
            // Kubelets and API servers themselves have new certificates by then.
            Condition::CrdEstablished { .. } | Condition::NodesReady { .. } => false,
            // Whose pods serve it, or do it, is not in the condition.
            Condition::ApiServiceAvailable { .. } | Condition::JobComplete { .. } => true,
            Condition::DeploymentAvailable { .. } | Condition::DaemonSetReady { .. } | Condition::StatefulSetReady { .. } => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::{Ready, StepId};

    fn waits(distrust: &Distrust, conditions: Vec<Condition>) -> Option<usize> {
        let ready = Some(Ready::api("metrics-server is up", conditions, 600));
        let id = StepId::cluster("metrics-server");
        let mut step = Step { id, title: "x".into(), after: Vec::new(), wants: Vec::new(), ready, rolling: None, aside: false };
        distrust.lift(&mut step);
        step.ready.map(|r| if let Test::Api(left) = r.test { left.len() } else { 0 })
    }

    #[test]
    fn who_does_not_trust_the_api_is_not_waited_for() {
        let deployment = |name: &str| Condition::DeploymentAvailable { namespace: "kube-system".into(), name: name.into() };
        let served = Condition::ApiServiceAvailable { name: "v1beta1.metrics.k8s.io".into() };
        let nodes = Condition::NodesReady { names: vec!["attic".into()] };
        let all = || vec![deployment("metrics-server"), served.clone()];
        let these = |name: &str| Distrust::These(vec![Holder { namespace: "kube-system".into(), what: format!("deployment/{name}") }]);
        assert_eq!(waits(&Distrust::Nobody, all()), Some(2));
        assert_eq!(waits(&Distrust::These(Vec::new()), all()), Some(2));
        assert_eq!(waits(&Distrust::Anybody, all()), None);
        assert_eq!(waits(&these("metrics-server"), all()), None);
        assert_eq!(waits(&these("coredns"), vec![deployment("metrics-server")]), Some(1), "another's pods do");
        assert_eq!(waits(&Distrust::Anybody, vec![nodes]), Some(1));
    }
}
