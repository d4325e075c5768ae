//! The operating system's hostname is the node's name: the kubelet may not override it (CIS 4.2.7), and the Node
//! authorizer refuses a node whose name is not the one in its certificate.

use super::{Ctx, Step};
use crate::cluster::HostnamePolicy;
use crate::error::Result;
use crate::want::{Guard, Want, quote};

#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if ctx.node.hostname == HostnamePolicy::Keep {
        return Ok(None);
    }
    let name = quote(&ctx.node.name);
    let ok = format!(
        "runtime=$(uname -n)\nfile=$(cat /etc/hostname 2>/dev/null || :)\n\
         [ \"$runtime\" = {name} ] && [ \"$file\" = {name} ] && exit 0\n\
         echo \"is $runtime (/etc/hostname: ${{file:-missing}}), wanted\" {name}\nexit 1\n"
    );
    let run = format!(
        "[ -s {KEPT} ] || {{ uname -n >{KEPT}.new; sync {KEPT}.new; mv -f {KEPT}.new {KEPT}; }}\n\
         {SET}\nset_hostname {name}\n"
    );
    let undo = format!(
        "if [ -s {KEPT} ]; then\n\
         {SET}\nset_hostname \"$(cat {KEPT})\"\nrm -f {KEPT}\nfi\n"
    );
    let guard = Guard::new("hostname", format!("the hostname is {}", ctx.node.name), ok, run).undo(undo).writes(&["/etc/hostname"]);
    Ok(Some(Step {
        id: ctx.id("hostname"),
        title: "hostname".into(),
        after: Vec::new(),
        wants: vec![Want::Guard(guard), Want::Guard(resolves(&name))],
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// The machine must find its own name without DNS: sudo asks for it each time. Debian's installer writes such a line for
/// the name that the machine had before.
fn resolves(name: &str) -> Guard {
    let ok = format!(
        "awk -v name={name} '$1 !~ /^#/ {{ for (i = 2; i <= NF; i++) if ($i == name) found = 1 }} END {{ exit !found }}' /etc/hosts && exit 0\n\
         echo '/etc/hosts does not have the name'\nexit 1\n"
    );
    let run = format!("{WRITE}\nwrite_hosts \"127.0.1.1 $(printf %s {name}) {MARK}\"\n");
    let undo = format!("if grep -q '{MARK}$' /etc/hosts; then\n{WRITE}\nwrite_hosts ''\nfi\n");
    Guard::new("hostname-resolves", "/etc/hosts has the hostname", ok, run).undo(undo).writes(&["/etc/hosts"])
}

/// The line of ours in `/etc/hosts`.
const MARK: &str = "# homectl: hostname";

/// Our line of before goes, `$1` comes. `/etc/hosts` may be a mount of a container engine, as `/etc/hostname` may.
const WRITE: &str = "write_hosts() {
  { grep -v '# homectl: hostname$' /etc/hosts || :; [ -z \"$1\" ] || printf '%s\\n' \"$1\"; } >/etc/.hosts.homectl
  chmod --reference=/etc/hosts /etc/.hosts.homectl
  sync /etc/.hosts.homectl
  mv -f /etc/.hosts.homectl /etc/hosts 2>/dev/null || { cat /etc/.hosts.homectl >/etc/hosts; rm -f /etc/.hosts.homectl; }
}";

/// The name that the machine had before.
const KEPT: &str = "/var/lib/homectl/hostname";

/// `/etc/hostname` may be a mount of a container engine: then it cannot be replaced, only written.
const SET: &str = "set_hostname() {
  printf '%s\\n' \"$1\" >/etc/.hostname.homectl
  chmod 0644 /etc/.hostname.homectl
  sync /etc/.hostname.homectl
  mv -f /etc/.hostname.homectl /etc/hostname 2>/dev/null || { cat /etc/.hostname.homectl >/etc/hostname; rm -f /etc/.hostname.homectl; }
  hostname \"$1\" 2>/dev/null || printf '%s\\n' \"$1\" >/proc/sys/kernel/hostname
}";
