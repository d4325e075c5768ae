//! What a machine ran before versions moved, part by part, and the programs it has once it is back there.

use super::program::{Component, Programs};
use super::release::Release;
use std::collections::BTreeMap;

/// What moves from one release to another on a machine, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Its kubelet and what comes with it: no data is bound to these, and a kubelet may be older than its API servers.
    Node,
    /// Its API server, controller manager and scheduler.
    Server,
    /// Its member of etcd.
    Etcd,
}

/// The releases of the parts of a machine: those which they go back to, or those which they are linked to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    pub node: Option<Release>,
    pub server: Option<Release>,
    pub etcd: Option<Release>,
}

impl Ran {
    /// What the parts are linked to now; nothing of a part that the machine does not have. `releases` and `linked` as in [`Ran::of`].
    ///
    /// # Errors
    /// A program that is of no release which the lock knows.
    pub fn linked(releases: &[Release], linked: &BTreeMap<String, String>) -> Result<Self, Component> {
        let of = |c: Component| match linked.get(c.as_str()) {
            Some(sum) => releases.iter().find(|r| r.knows(c, sum)).cloned().map(Some).ok_or(c),
            None => Ok(None),
        };
        Ok(Self { node: of(Component::Kubelet)?, server: of(Component::KubeApiserver)?, etcd: of(Component::Etcd)? })
    }

    /// The same where etcd would not pass a minor version on the way back from what it is linked to: its data may be of that by now.
    #[must_use]
    pub fn within_minors(mut self, linked: &Self) -> Self {
        let minor = |r: &Release| super::release::etcd(&r.programs).map(|v| (v.major, v.minor));
        self.etcd = self.etcd.filter(|back| linked.etcd.as_ref().is_some_and(|now| minor(now) == minor(back)));
        self
    }

    /// The parts that it speaks of.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let all = [(Part::Node, &self.node), (Part::Server, &self.server), (Part::Etcd, &self.etcd)];
        all.into_iter().filter_map(|(part, release)| release.is_some().then_some(part))
    }

    /// By what a machine says. `releases` are the lock's, the wanted one first; `linked` has the sum of what each program is linked
    /// to, `came_up` the versions of its kubelet and company that came up there last.
    ///
    /// A kubelet goes back to what came up last, also where a run that was cut has linked the new one by then. What an API server or
    /// etcd has written, an older one may not read: they go back only where they were not linked to the new one.
    #[must_use]
    pub fn of(releases: &[Release], linked: &BTreeMap<String, String>, came_up: &BTreeMap<String, String>) -> Self {
        let Some((wanted, others)) = releases.split_first() else { return Self::default() };
        let others = || others.iter().filter(|r| r.kubernetes <= wanted.kubernetes);
        let linked = |c: Component| {
            let sum = linked.get(c.as_str()).filter(|sum| !wanted.knows(c, sum))?;
            others().find(|r| r.knows(c, sum)).cloned()
        };
        let noted = others().find(|r| r.is_noted(came_up)).filter(|_| !wanted.is_noted(came_up)).cloned();
        // Where nothing has come up yet, there is nothing to go back to.
        let stayed = || linked(Component::Kubelet).filter(|_| !came_up.is_empty());
        Self { node: noted.or_else(stayed), server: linked(Component::KubeApiserver), etcd: linked(Component::Etcd) }
    }

    /// The same for a machine whose own services have not failed.
    #[must_use]
    pub fn without_servers(&self) -> Self {
        Self { node: self.node.clone(), ..Self::default() }
    }

    /// Whether there is anything to go back to.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.node.is_some() || self.server.is_some() || self.etcd.is_some()
    }

    /// The programs of a machine that goes back, where the other parts stay what they are `linked` to, and whatever it has not, is of
    /// `wanted`.
    #[must_use]
    pub fn programs(&self, linked: &Self, wanted: &Programs) -> Programs {
        let of = |c: &Component| {
            let (back, stays) = match c {
                Component::Etcd => (&self.etcd, &linked.etcd),
                c if c.is_server() => (&self.server, &linked.server),
                _ => (&self.node, &linked.node),
            };
            back.as_ref().or(stays.as_ref()).map_or(wanted, |r| &r.programs)
        };
        let versions = Component::ALL.iter().filter_map(|c| Some((*c, of(c).versions.get(c)?.clone()))).collect();
        let artifacts =
            Component::ALL.iter().flat_map(|c| of(c).artifacts.iter().filter(move |((of, _), _)| of == c)).map(|(k, v)| (*k, v.clone()));
        Programs { versions, artifacts: artifacts.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Arch;

    /// Every program has a sum of its own for each of its versions.
    fn release(kubernetes: &str, etcd: &str, containerd: &str) -> Release {
        let version = |c: Component| match c {
            Component::Etcd => format!("v{etcd}"),
            Component::Containerd => format!("v{containerd}"),
            _ => format!("v{kubernetes}"),
        };
        let mut programs = Programs::default();
        for c in Component::ALL {
            let artifact = super::super::Artifact { url: String::new(), sha256: sum(c, &version(c)) };
            programs.versions.insert(c, version(c));
            programs.artifacts.insert((c, Arch::Amd64), artifact);
        }
        Release { kubernetes: kubernetes.parse().unwrap(), programs }
    }

    fn sum(component: Component, version: &str) -> String {
        format!("{component} {version}")
    }

    /// What a machine says whose parts are of these releases.
    fn machine(kubelet: &Release, servers: &Release, etcd: &Release, came_up: Option<&Release>) -> [BTreeMap<String, String>; 2] {
        let linked = [(Component::Kubelet, kubelet), (Component::KubeApiserver, servers), (Component::Etcd, etcd)];
        let linked = linked.map(|(c, r)| (c.to_string(), sum(c, &r.programs.versions[&c])));
        [linked.into(), came_up.map(|r| r.programs.noted()).unwrap_or_default().into_iter().map(|(c, v)| (c.to_string(), v)).collect()]
    }

    fn told(ran: &Ran) -> [String; 3] {
        [&ran.node, &ran.server, &ran.etcd]
            .map(|r| r.as_ref().map_or("-".into(), |r| format!("{} {}", r.kubernetes, r.programs.versions[&Component::Containerd])))
    }

    #[test]
    fn a_machine_goes_back_to_what_came_up_there_last() {
        let (old, new, next) =
            (release("1.35.4", "3.6.8", "2.3.6"), release("1.36.3", "3.6.16", "2.3.7"), release("1.36.4", "3.6.16", "2.3.7"));
        let ran = |releases: &[&Release], [linked, came_up]: [BTreeMap<String, String>; 2]| {
            told(&Ran::of(&releases.iter().map(|r| (*r).clone()).collect::<Vec<_>>(), &linked, &came_up))
        };
        let (none, before) = (["-", "-", "-"], "1.35.4 v2.3.6");
        let moving = [&new, &old];
        assert_eq!(ran(&moving, machine(&old, &old, &old, Some(&old))), [before; 3], "nothing has moved yet");
        assert_eq!(ran(&moving, machine(&old, &new, &new, Some(&old))), [before, "-", "-"], "its API server has");
        assert_eq!(ran(&moving, machine(&new, &new, &new, Some(&old))), [before, "-", "-"], "a run was cut before its kubelet came up");
        assert_eq!(ran(&moving, machine(&new, &new, &new, Some(&new))), none, "it has arrived, whatever the lock still knows");
        assert_eq!(ran(&moving, machine(&new, &new, &new, None)), none, "nobody knows that it ran another");
        assert_eq!(ran(&moving, machine(&old, &old, &old, None)), ["-", before, before], "no kubelet has ever come up there");
        assert_eq!(ran(&moving, machine(&old, &new, &new, Some(&new))), [before, "-", "-"], "it was put back, and is not up yet");
        assert_eq!(ran(&[&next, &old, &new], machine(&next, &next, &new, Some(&new)))[0], "1.36.3 v2.3.7", "not to what others ran");
        assert_eq!(ran(&[&old, &new], machine(&old, &old, &old, Some(&new))), none, "nobody goes back to something newer");
        assert_eq!(ran(&[&new], machine(&old, &old, &old, Some(&old))), none, "the lock does not know it any more");
    }

    #[test]
    fn a_component_alone_is_known_by_what_came_up() {
        let (old, new) = (release("1.36.3", "3.6.8", "2.3.6"), release("1.36.3", "3.6.16", "2.3.7"));
        let ran = |came_up: &Release, etcd: &Release| {
            let [linked, came_up] = machine(&new, &new, etcd, Some(came_up));
            told(&Ran::of(&[new.clone(), old.clone()], &linked, &came_up))
        };
        assert_eq!(ran(&old, &old), ["1.36.3 v2.3.6", "-", "1.36.3 v2.3.6"]);
        assert_eq!(ran(&new, &new), ["-", "-", "-"], "weeks later nothing is taken back");
    }

    #[test]
    fn servers_do_not_go_back_with_a_kubelet() {
        let of = |kubernetes: &str, etcd: &str, containerd: &str| Some(release(kubernetes, etcd, containerd));
        let old = || of("1.35.4", "3.6.8", "2.3.6");
        let (wanted, now) = (release("1.36.3", "3.6.16", "2.3.7").programs, || of("1.36.3", "3.6.16", "2.3.7"));
        let versions = |ran: &Ran, linked: &Ran| {
            let ran = ran.clone().within_minors(linked);
            let versions = ran.programs(linked, &wanted).versions;
            let parts = ran.parts().map(|part| format!("{part:?}")).collect::<Vec<_>>().join(" ");
            let [kubelet, containerd, server, etcd] =
                [Component::Kubelet, Component::Containerd, Component::KubeApiserver, Component::Etcd].map(|c| versions[&c].clone());
            format!("{kubelet} {containerd} {server} {etcd}: {parts}")
        };
        let arrived = Ran { node: now(), server: now(), etcd: now() };
        let all = Ran { node: old(), server: old(), etcd: old() };
        assert_eq!(versions(&all.without_servers(), &arrived), "v1.35.4 v2.3.6 v1.36.3 v3.6.16: Node");
        assert_eq!(versions(&all, &arrived), "v1.35.4 v2.3.6 v1.35.4 v3.6.8: Node Server Etcd");
        assert_eq!(versions(&all.without_servers(), &all), "v1.35.4 v2.3.6 v1.35.4 v3.6.8: Node", "servers that have not moved stay");
        let newer = Ran { etcd: of("1.35.4", "3.5.26", "2.3.6"), ..all.clone() };
        assert_eq!(versions(&newer, &arrived), "v1.35.4 v2.3.6 v1.35.4 v3.6.16: Node Server", "its data may be of the newer minor by now");
        let between = Ran { server: of("1.36.1", "3.6.9", "2.3.6"), etcd: None, ..all };
        assert_eq!(versions(&between, &arrived), "v1.35.4 v2.3.6 v1.36.1 v3.6.16: Node Server", "each goes back to what it ran itself");
    }

    #[test]
    fn what_the_lock_does_not_know_is_said() {
        let (old, new, strange) =
            (release("1.35.4", "3.6.8", "2.3.6"), release("1.36.3", "3.6.16", "2.3.7"), release("1.37.1", "3.7.0", "2.4.0"));
        let linked = |kubelet: &Release, server: &Release| {
            let [linked, _] = machine(kubelet, server, server, None);
            Ran::linked(&[new.clone(), old.clone()], &linked)
                .map(|ran| told(&ran).map(|r| r.split(' ').next().unwrap_or_default().to_owned()))
        };
        assert_eq!(linked(&old, &new), Ok(["1.35.4", "1.36.3", "1.36.3"].map(str::to_owned)));
        assert_eq!(linked(&old, &strange), Err(Component::KubeApiserver));
        assert_eq!(linked(&strange, &new), Err(Component::Kubelet));
        assert_eq!(Ran::linked(std::slice::from_ref(&new), &BTreeMap::new()), Ok(Ran::default()), "a worker has no API server");
    }
}
