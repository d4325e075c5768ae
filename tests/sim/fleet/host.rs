//! The way to a machine, and every way in which it can break.

use super::machine::Machine;
use futures::future::BoxFuture;
use homectl::ssh::{Counters, Line, LocalShell, Remote, RemoteError, Reply, Stream, Take};
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::OnceCell;

/// What goes wrong with a connection, and when: at its so-manieth script that changes something, from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Cut before the script is sent.
    Before(usize),
    /// The script runs to its end, the answer is lost.
    After(usize),
}

/// Whether the run still has an operator. One that was killed hears nothing more and sends nothing more; what it had begun
/// comes to its end.
pub(crate) type Operator = Arc<AtomicBool>;

/// Whether a machine was cut, and where.
#[derive(Default)]
pub(crate) struct Cut {
    happened: AtomicBool,
    at_the_end: AtomicBool,
}

impl Cut {
    pub(crate) fn happened(&self) -> bool {
        self.happened.load(Ordering::Relaxed)
    }

    /// Behind the last command of an item.
    pub(crate) fn at_the_end(&self) -> bool {
        self.at_the_end.load(Ordering::Relaxed)
    }

    fn now(&self) {
        self.happened.store(true, Ordering::Relaxed);
    }
}

pub(crate) struct Host {
    /// Begun when it is first needed: what is known of a machine is not asked again.
    shell: OnceCell<LocalShell>,
    machine: Machine,
    operator: Operator,
    fault: Option<Fault>,
    scripts: AtomicUsize,
    /// Whether a cut of the machine ends the operator too.
    together: bool,
    pub(crate) cut: Arc<Cut>,
    /// Whether a plan runs. Whatever is sent then can be cut; what is sent before only looks.
    pub(crate) works: Arc<AtomicBool>,
    /// How many items were begun on it.
    pub(crate) items: Arc<AtomicUsize>,
}

/// What is put before a script that changes something: places where it can be cut.
const CUTS: &str = r#"hc_lock=us hc_lock_file=/ctl/lock
. /usr/local/sbin/sim.sh
exec 7>&1
for sim_c in chmod chown cp ln mkdir mv rm rmdir sync; do eval "$sim_c() { sim_op; command $sim_c \"\$@\"; }"; done
sim_begin() {
    printf '\n@sim item\n' >&7
    [ -e /ctl/items ] || return 0
    read -r sim_items </ctl/items
    case $sim_items in
        first) ;;
        0) sim_arm ;;
        *) echo $((sim_items - 1)) >/ctl/items ;;
    esac
}
sim_first() { [ ! -e /ctl/items ] || { read -r sim_items </ctl/items && [ "$sim_items" != first ]; } || sim_arm; }
sim_arm() { command mv /ctl/ops /ctl/armed && command rm /ctl/items; }
sim_end() { [ ! -e /ctl/armed ] || sim_cut ' at the end'; }
"#;

/// The script with places to cut it: before each command that changes something, and at the end of each fragment.
fn with_cuts(script: &str) -> String {
    const BEGIN: &str = "echo \"@$N b ";
    const END: &str = "printf '\\n@%s e ";
    // What is done before all items is a place of its own.
    let Some(first) = script.find(BEGIN) else {
        return format!("{CUTS}sim_first\n{script}\nsim_end\n");
    };
    let mut out = format!("{CUTS}{}", &script[..first]);
    for part in script[first..].split(BEGIN).skip(1) {
        let body = part.split_once("cd /\n").map_or("", |(_, body)| body);
        // Beginnings and ends of steps are only told to the journal, readiness only waits.
        let acts = !body.starts_with("journal \"${hc_step-}: ") && !body.starts_with("read -r up _ </proc/uptime; began=");
        if acts {
            out.extend(["sim_begin\n", BEGIN, &part.replacen(END, &format!("sim_end\n{END}"), 1)]);
        } else {
            out.extend([BEGIN, part]);
        }
    }
    out
}

fn lost(seen: &str) -> RemoteError {
    RemoteError::Lost { seen: seen.to_owned() }
}

impl Host {
    pub(crate) fn of(machine: Machine, operator: Operator, works: Arc<AtomicBool>, fault: Option<Fault>, together: bool) -> Self {
        machine.held(true);
        Self {
            shell: OnceCell::new(),
            machine,
            operator,
            fault,
            scripts: AtomicUsize::new(0),
            together,
            cut: Arc::default(),
            works,
            items: Arc::default(),
        }
    }

    async fn shell(&self) -> &LocalShell {
        let begun = || LocalShell::with_shell(self.machine.shell());
        self.shell.get_or_try_init(begun).await.expect("the machine can be entered: THIS TEST NEEDS root and unshare")
    }

    async fn change(&self, script: &str, sink: &mut (dyn FnMut(Line<'_>) + Send)) -> Result<Reply, RemoteError> {
        let number = self.scripts.fetch_add(1, Ordering::Relaxed);
        if self.fault == Some(Fault::Before(number)) {
            self.cut.now();
            return Err(lost("connection reset by peer"));
        }
        let deaf = self.fault == Some(Fault::After(number));
        let (operator, cut) = (self.operator.clone(), self.cut.clone());
        let mut heard = |line: &str| {
            if line == "@sim item" {
                self.items.fetch_add(1, Ordering::Relaxed);
            } else if let Some(place) = line.strip_prefix("@sim cut") {
                cut.now();
                cut.at_the_end.store(!place.is_empty(), Ordering::Relaxed);
                if self.together {
                    operator.store(false, Ordering::Relaxed);
                    self.machine.fellows().iter().for_each(|m| m.held(false));
                }
                self.machine.kill();
            } else if !deaf && operator.load(Ordering::Relaxed) {
                sink(line);
            }
        };
        let reply = self.shell().await.run(&with_cuts(script), &mut heard).await;
        if deaf {
            self.cut.now();
            return Err(lost("connection reset by peer"));
        }
        if !self.operator.load(Ordering::Relaxed) {
            return Err(lost("nobody listens"));
        }
        reply
    }
}

impl Remote for Host {
    fn run<'a>(&'a self, script: &'a str, sink: &'a mut (dyn FnMut(Line<'_>) + Send)) -> BoxFuture<'a, Result<Reply, RemoteError>> {
        Box::pin(async move {
            if !self.operator.load(Ordering::Relaxed) || self.cut.happened() {
                return Err(lost("the connection is closed"));
            }
            if self.works.load(Ordering::Relaxed) { self.change(script, sink).await } else { self.shell().await.run(script, sink).await }
        })
    }

    fn upload<'a>(&'a self, from: PathBuf, to: &'a str, sent: &'a (dyn Fn(u64) + Send + Sync)) -> BoxFuture<'a, Result<(), RemoteError>> {
        Box::pin(async move {
            if !self.operator.load(Ordering::Relaxed) || self.cut.happened() {
                return Err(lost("the connection is closed"));
            }
            let bytes = fs::read(from).unwrap();
            let to = self.machine.root().join(to.trim_start_matches('/'));
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).unwrap();
            std::io::Write::write_all(&mut file, &bytes).unwrap();
            sent(bytes.len() as u64);
            Ok(())
        })
    }

    fn download<'a>(&'a self, from: &'a str, take: Take<'a>) -> BoxFuture<'a, Result<u64, RemoteError>> {
        Box::pin(async move { self.shell().await.download(from, take).await })
    }

    fn tunnel<'a>(&'a self, address: &'a str, port: u16) -> BoxFuture<'a, Result<Box<dyn Stream>, RemoteError>> {
        let refused = RemoteError::Tunnel { to: format!("{address}:{port}"), seen: "connection refused".into() };
        Box::pin(std::future::ready(Err(refused)))
    }

    fn lock<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Box<dyn Send + Sync>, RemoteError>> {
        Box::pin(async { Ok(Box::new(()) as Box<dyn Send + Sync>) })
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
