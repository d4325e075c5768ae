//! A node that leaves: first nobody counts on it any more, then what is on it goes and the others let go of it.

use super::etcd::{ctl_at, peer_url};
use super::{Lane, Ready, Step, StepId};
use crate::cluster::Node;
use crate::facts::Member;
use crate::want::{Guard, Impact, Want};

/// Name of the step that takes a member out of etcd.
pub const DISMISSAL: &str = "etcd-dismissal";
/// Steps by which the others know a node; they keep it until nobody needs it there.
const TIES: [&str; 2] = ["overlay", "api-proxy"];
/// Seconds for etcd to let a member go: it refuses while another has just come.
const LET_GO: u32 = 60;

/// Takes `member` out of etcd, on the machine of the member `by`. Somebody else leads before it goes.
#[must_use]
pub fn dismissal(by: &Node, member: &Member) -> Step {
    let (id, called) = (&member.id, member.called());
    let own = ctl_at(&format!("https://{}:2379", by.overlay));
    let ok = format!(
        "list=$({own} member list 2>&1) || {{ echo \"etcd cannot be asked: $list\"; exit 2; }}\n\
         line=$(printf '%s\\n' \"$list\" | grep '^{id}, ') || {{ echo 'it is no member any more'; exit 0; }}\necho \"$line\"\nexit 1\n"
    );
    let hand_over = if member.started() && member.healthy {
        format!(
            "me=$({own} member list | awk -F ', ' '$4 == \"{}\" {{ print $1 }}')\n{} move-leader \"$me\" >/dev/null 2>&1 || :\n",
            peer_url(by),
            ctl_at(&member.client)
        )
    } else {
        String::new()
    };
    let run = format!(
        "{hand_over}read -r up _ </proc/uptime; end=$((${{up%%.*}} + {LET_GO}))\n\
         until said=$({own} member remove {id} 2>&1); do\n\
         list=$({own} member list 2>/dev/null) && ! printf '%s\\n' \"$list\" | grep -q '^{id}, ' && break\n\
         run_lives || {{ echo 'nobody waits any more'; exit 1; }}\nread -r up _ </proc/uptime\n\
         if [ \"${{up%%.*}}\" -ge \"$end\" ]; then echo \"etcd keeps it: $(printf '%s\\n' \"$said\" | tail -n 1)\" >&2; exit 1; fi\nsleep 0.5\ndone\n\
         echo \"$said\"\n"
    );
    let title = format!("{called} is no member of etcd");
    let guard = Guard { impact: Impact::Irreversible, ..Guard::new(format!("etcd:without:{id}"), title, ok, run) };
    let ready = Ready { deadline: 60, ..Ready::node("etcd has a leader without it", format!("{own} endpoint health 2>&1\n")) };
    Step {
        id: StepId::node(&by.name, DISMISSAL),
        title: format!("etcd goes on without {called}"),
        after: Vec::new(),
        wants: vec![Want::Guard(guard)],
        ready: Some(ready),
        rolling: None,
        aside: false,
    }
}

/// Puts the steps of a departure in order: what is on the node goes, and the others let go of it, after these `gates`.
pub fn depart(steps: &mut [Step], name: &str, gates: &[StepId]) {
    let leaver = Lane::Node(name.to_owned());
    for step in steps.iter_mut().filter(|s| !gates.contains(&s.id)) {
        let tied = step.id.lane != Lane::Cluster && TIES.contains(&step.id.name.as_str());
        if step.id.lane == leaver || tied {
            step.after.extend(gates.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::super::{absent, node};
    use super::*;

    /// Every line of sh that a departure and a joining bring.
    #[test]
    fn scripts_are_sh() {
        let fixture = Fixture::joining();
        let members = fixture.facts["attic"].members.clone().unwrap().unwrap();
        let mut steps = node(&fixture.ctx("garage")).unwrap();
        steps.extend(members.iter().map(|m| dismissal(&fixture.cluster.nodes[0], m)));
        let guards = steps.iter().flat_map(|s| &s.wants).filter_map(|w| if let Want::Guard(g) = w { Some(g) } else { None });
        let etcd: Vec<&Guard> = guards.filter(|g| g.addr.starts_with("etcd:")).collect();
        assert_eq!(etcd.len(), 4, "{etcd:?}");
        for text in etcd.iter().flat_map(|g| [&g.ok, &g.run]) {
            let said = std::process::Command::new("sh").args(["-n", "-c", text.as_str()]).output().unwrap();
            assert!(said.status.success(), "{}\n{}", text.as_str(), String::from_utf8_lossy(&said.stderr));
        }
    }

    #[test]
    fn nobody_lets_go_before_nobody_counts_on_it() {
        let fixture = Fixture::four();
        let mut steps = absent(node(&fixture.ctx("attic")).unwrap());
        for name in ["cellar", "shed"] {
            steps.extend(node(&fixture.ctx(name)).unwrap());
        }
        let member =
            Member { id: "1a".into(), name: "attic".into(), peer: String::new(), client: String::new(), learner: false, healthy: false };
        steps.push(dismissal(fixture.cluster.node("cellar").unwrap(), &member));
        let gates = [StepId::cluster("drain-attic"), StepId::node("cellar", DISMISSAL)];
        depart(&mut steps, "attic", &gates);
        for step in &steps {
            let waits = gates.iter().all(|g| step.after.contains(g));
            let due = step.id.lane == Lane::Node("attic".into()) || TIES.contains(&step.id.name.as_str());
            assert_eq!(waits, due, "{}", step.id);
        }
    }
}
