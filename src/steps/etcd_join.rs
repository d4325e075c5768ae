//! A control plane that joins a living etcd cluster: first as a learner, whom nobody has to wait for, then as a voter.
//!
//! Whatever is cut, the next run goes on: who was added and has never started is taken as he is, a learner is promoted
//! once it has caught up. Until then the cluster is as it was before.

use super::etcd::{RECORDED_ID, ctl, ctl_at, peer_url};
use super::etcd_members::{answered, is_newcomer, member_of, queue};
use super::{Ctx, StepId};
use crate::cluster::Node;
use crate::facts::Member;
use crate::want::{Guard, quote};

/// Seconds for the members to answer over the overlay, which has just come up.
const REACHED: u32 = 60;
/// Seconds for a learner to catch up: a home's whole store fits through a slow uplink in that time.
const CAUGHT_UP: u32 = 300;

/// What a node that joins has to know.
pub(super) struct Joining<'a> {
    members: &'a [Member],
    queue: Vec<&'a Node>,
}

impl<'a> Joining<'a> {
    /// Nothing for who is a member, and while a cluster is founded.
    pub(super) fn of(ctx: &Ctx<'a>) -> Option<Self> {
        let Some(Ok((_, members))) = answered(ctx.all) else { return None };
        is_newcomer(ctx.facts).then(|| Self { members, queue: queue(ctx.cluster, ctx.all, members) })
    }

    /// `NAME=URL` of every member that there is when this node starts: those who were listed, who joins before it, itself.
    pub(super) fn list(&self, ctx: &Ctx) -> Vec<String> {
        let named = |m: &Member| {
            let node = ctx.cluster.control_planes().find(|n| peer_url(n) == m.peer);
            let name = if m.name.is_empty() { node.map_or("unnamed", |n| n.name.as_str()) } else { m.name.as_str() };
            format!("{name}={}", m.peer)
        };
        let mut list: Vec<String> = self.members.iter().filter(|m| m.peer != peer_url(ctx.node)).map(named).collect();
        let until = self.queue.iter().position(|n| n.name == ctx.node.name).map_or(0, |i| i + 1);
        let new = self.queue[..until].iter().filter(|n| n.name == ctx.node.name || member_of(self.members, n).is_none());
        list.extend(new.map(|n| format!("{}={}", n.name, peer_url(n))));
        list
    }

    /// Its way to the members has to be there, and who joins before it has to vote.
    pub(super) fn after(&self, ctx: &Ctx) -> Vec<StepId> {
        let ways = ctx.cluster.control_planes().filter(|n| n.name != ctx.node.name && !self.queue.iter().any(|q| q.name == n.name));
        let before = self.queue.iter().take_while(|n| n.name != ctx.node.name).last();
        ways.map(|n| StepId::node(&n.name, "overlay")).chain(before.map(|n| StepId::node(&n.name, "etcd"))).collect()
    }

    /// Before its unit: the members know of it.
    pub(super) fn member(&self, ctx: &Ctx) -> Guard {
        let (members, url) = (self.ctl(ctx), peer_url(ctx.node));
        let listed = format!("printf '%s\\n' \"$list\" | grep -F ', {url}, ' || :");
        let ok = format!(
            "[ ! -d /var/lib/etcd/member ] || {{ echo 'it has its data'; exit 0; }}\n\
             [ -x /opt/homectl/bin/etcdctl ] || {{ echo 'etcdctl is not there yet'; exit 75; }}\n\
             list=$({members} member list 2>&1) || {{ echo \"the members cannot be asked yet: $list\"; exit 75; }}\n\
             line=$({listed})\n\
             case $line in\n\
             '') echo 'the members do not know it'; exit 1 ;;\n\
             *', {client}, '*) echo \"listed as started, though there is no data here: $line\"; exit 2 ;;\n\
             esac\necho \"$line\"\n",
            client = client_url(ctx.node),
        );
        let health = format!("{members} endpoint health");
        let run = format!(
            "{wait}rm -f {RECORDED_ID}\nline=$({listed})\n[ -z \"$line\" ] || {{ echo \"$line\"; exit 0; }}\n\
             health=$({health} 2>&1) || {{ echo \"not every member is healthy: $health\" >&2; exit 1; }}\n\
             {members} member add {name} --learner --peer-urls={url} 2>&1\n",
            wait = wait(REACHED, &format!("list=$({members} member list 2>&1)"), "the members do not answer: $list"),
            name = quote(&ctx.node.name),
        );
        Guard::new("etcd:member", "it is a member of the etcd cluster", ok, run).writes(&[RECORDED_ID])
    }

    /// After its unit: it has caught up and votes.
    pub(super) fn voter(&self, ctx: &Ctx) -> Guard {
        let (members, own, url) = (self.ctl(ctx), ctl(ctx), peer_url(ctx.node));
        let ok = format!(
            "[ -x /opt/homectl/bin/etcdctl ] || {{ echo 'etcdctl is not there yet'; exit 75; }}\n\
             said=$({own} endpoint status -w json 2>&1) || {{ echo 'its etcd does not answer yet'; exit 75; }}\n\
             case $said in *'\"isLearner\":true'*) echo 'it follows and does not vote yet'; exit 1 ;; esac\necho 'it votes'\n"
        );
        // It has to answer itself before anybody counts on it. Only a learner can be promoted: who is none any more was
        // promoted by a run that did not hear of it.
        let promoted = format!(
            "said=$({own} endpoint status 2>&1) && id=$({members} member list 2>&1 | awk -F ', ' '$4 == \"{url}\" {{ print $1 }}') && {{\n\
             said=$({members} member promote \"$id\" 2>&1) ||\n\
             case $said in *'in sync'*) false ;; *'can only promote a learner'*) ;; *) false ;; esac\n}}"
        );
        let otherwise = "it stays a learner, the cluster is as it was: $(printf '%s\\n' \"$said\" | tail -n 1)\n$(journalctl -q --no-pager -o cat -n 5 -u etcd.service 2>&1)";
        let run = format!("{}echo \"$said\"\n", wait(CAUGHT_UP, &promoted, otherwise));
        Guard::new("etcd:voter", "it has caught up with the others and votes", ok, run)
    }

    /// `etcdctl` against the members that vote.
    fn ctl(&self, ctx: &Ctx) -> String {
        let voters = self.members.iter().filter(|m| m.started() && !m.learner && m.peer != peer_url(ctx.node));
        ctl_at(&voters.map(|m| m.client.as_str()).collect::<Vec<_>>().join(","))
    }
}

fn client_url(node: &Node) -> String {
    format!("https://{}:2379", node.overlay)
}

/// sh that tries until it holds; at the deadline it fails with these words.
fn wait(seconds: u32, until: &str, otherwise: &str) -> String {
    format!(
        "read -r up _ </proc/uptime; end=$((${{up%%.*}} + {seconds}))\n\
         until\n{until}\ndo\nrun_lives || {{ echo 'nobody waits any more'; exit 1; }}\nread -r up _ </proc/uptime\n\
         if [ \"${{up%%.*}}\" -ge \"$end\" ]; then echo \"{otherwise}\" >&2; exit 1; fi\nsleep 0.2\ndone\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn one_after_the_other_and_each_knows_who_was_before_it() {
        let fixture = Fixture::joining();
        let told = |name: &str| {
            let ctx = fixture.ctx(name);
            let joining = Joining::of(&ctx)?;
            let after: Vec<String> = joining.after(&ctx).iter().map(ToString::to_string).collect();
            Some(format!("{} after {}", joining.list(&ctx).join(","), after.join(" ")))
        };
        let (attic, cellar) = ("attic=https://10.77.0.1:2380", "cellar=https://10.77.0.2:2380");
        assert_eq!(told("attic"), None);
        assert_eq!(told("cellar").unwrap(), format!("{attic},{cellar} after overlay@attic"));
        assert_eq!(told("garage").unwrap(), format!("{attic},{cellar},garage=https://10.77.0.3:2380 after overlay@attic etcd@cellar"));
    }
}
