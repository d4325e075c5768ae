//! Steps as they can be judged where nobody opens the secrets: made twice, from two sets of placeholders, they differ in what is
//! made from secrets and in nothing else.

use super::model::Step;
use crate::error::{Failure, Result};
use crate::want::Want;

/// `one` without what is made from secrets; `other` are the same steps made from other placeholders. `now` in Unix seconds.
///
/// # Errors
/// A bug: the steps are not the same.
pub fn sealed(one: Vec<Step>, other: &[Step], now: i64) -> Result<Vec<Step>> {
    let addrs = |steps: &[Step]| steps.iter().flat_map(|s| &s.wants).map(Want::addr).collect::<Vec<_>>();
    if addrs(&one) != addrs(other) {
        return Err(Failure::bug("which steps there are depends on secrets"));
    }
    let mut steps = one;
    for (step, twin) in steps.iter_mut().zip(other) {
        for (want, twin) in step.wants.iter_mut().zip(&twin.wants) {
            if let Some(sealed) = want.sealed(twin, now) {
                *want = sealed;
            }
        }
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::node;
    use super::*;
    use crate::secrets::Secrets;
    use crate::want::{Body, Sealed, probe};
    use std::collections::BTreeMap;

    /// The wants of `name`, made from one set of placeholders and sealed with the other.
    fn wants(fixture: &mut Fixture, name: &str, sets: [Secrets; 2]) -> Vec<Want> {
        let [one, other] = sets.map(|secrets| {
            fixture.secrets = secrets;
            node(&fixture.ctx(name)).unwrap()
        });
        sealed(one, &other, 0).unwrap().into_iter().flat_map(|s| s.wants).collect()
    }

    /// Whichever set was the first: nothing of a placeholder is left in what is asked and in what is judged by.
    #[test]
    fn no_placeholder_is_left() {
        for (mut fixture, name) in [(Fixture::one(), "attic"), (Fixture::four(), "attic"), (Fixture::four(), "shed")] {
            let sets = Secrets::placeholder_sets(&fixture.cluster);
            let [a, b] = sets.clone();
            let one = wants(&mut fixture, name, sets);
            let two = wants(&mut fixture, name, [b, a]);
            assert_eq!(probe::compile(&one), probe::compile(&two), "{name}");
            let known = |wants: &[Want]| format!("{:?}", wants.iter().filter(|w| !matches!(w, Want::Guard(_))).collect::<Vec<_>>());
            assert_eq!(known(&one), known(&two), "{name}");
        }
    }

    #[test]
    fn what_is_made_from_secrets_is_sealed_and_nothing_else() {
        let mut fixture = Fixture::four();
        let sets = Secrets::placeholder_sets(&fixture.cluster);
        let wants = wants(&mut fixture, "attic", sets);
        let kind = |want: &Want| match want {
            Want::File(f) => match &f.body {
                Some(Body::Sealed(Sealed::Whole)) => Some("whole"),
                Some(Body::Sealed(Sealed::Authority { .. })) => Some("authority"),
                Some(Body::Sealed(Sealed::Lines(_))) => Some("lines"),
                _ => None,
            },
            want => want.is_sealed().then_some("certificate"),
        };
        let found: BTreeMap<String, &str> = wants.iter().filter_map(|w| Some((w.addr(), kind(w)?))).collect();
        let expected = [
            ("certificate:/etc/homectl/approver.conf", "certificate"),
            ("certificate:/etc/kubernetes/admin.conf", "certificate"),
            ("certificate:/etc/kubernetes/controller-manager.conf", "certificate"),
            ("certificate:/etc/kubernetes/pki/apiserver-etcd-client.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/apiserver-kubelet-client.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/apiserver.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/etcd/healthcheck-client.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/etcd/peer.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/etcd/server.crt", "certificate"),
            ("certificate:/etc/kubernetes/pki/front-proxy-client.crt", "certificate"),
            ("certificate:/etc/kubernetes/scheduler.conf", "certificate"),
            ("file:/etc/homectl/etcd-bootstrap.env", "lines"),
            ("file:/etc/homectl/overlay/private.key", "whole"),
            ("file:/etc/homectl/overlay/wg0.conf", "lines"),
            ("file:/etc/kubernetes/encryption.yaml", "whole"),
            ("file:/etc/kubernetes/pki/apiserver-etcd-client.key", "whole"),
            ("file:/etc/kubernetes/pki/apiserver-kubelet-client.key", "whole"),
            ("file:/etc/kubernetes/pki/apiserver.key", "whole"),
            ("file:/etc/kubernetes/pki/ca-signing.crt", "authority"),
            ("file:/etc/kubernetes/pki/ca-signing.crt", "authority"),
            ("file:/etc/kubernetes/pki/ca.crt", "authority"),
            ("file:/etc/kubernetes/pki/ca.key", "whole"),
            ("file:/etc/kubernetes/pki/etcd/ca.crt", "authority"),
            ("file:/etc/kubernetes/pki/etcd/ca.key", "whole"),
            ("file:/etc/kubernetes/pki/etcd/healthcheck-client.key", "whole"),
            ("file:/etc/kubernetes/pki/etcd/peer.key", "whole"),
            ("file:/etc/kubernetes/pki/etcd/server.key", "whole"),
            ("file:/etc/kubernetes/pki/front-proxy-ca.crt", "authority"),
            ("file:/etc/kubernetes/pki/front-proxy-ca.key", "whole"),
            ("file:/etc/kubernetes/pki/front-proxy-client.key", "whole"),
            ("file:/etc/kubernetes/pki/sa.key", "whole"),
            ("file:/etc/kubernetes/pki/sa.pub", "whole"),
        ];
        let expected: BTreeMap<String, &str> = expected.iter().map(|(addr, kind)| ((*addr).to_owned(), *kind)).collect();
        assert_eq!(found, expected);
    }
}
