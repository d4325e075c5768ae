//! The program under test, as an operator runs it: in a folder of its own, with a home of its own.

use crate::Result;
use crate::lab::write;
use crate::shell::{Ran, run, run_and, run_hearing};
use std::cell::Cell;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_mins(15);

/// An operator's folder: inventory, lock and secrets, a home, and what was said in each run.
pub(crate) struct Homectl {
    pub(crate) dir: PathBuf,
    runs: Cell<u32>,
}

impl Drop for Homectl {
    /// What was downloaded goes; what was said stays, for whoever looks into a failure.
    fn drop(&mut self) {
        if std::env::var_os("HOMECTL_E2E_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(self.dir.join("home/.cache"));
        }
    }
}

impl Homectl {
    /// An empty folder for a lane (with the lab kept, the one of last time).
    pub(crate) fn new(lane: &str) -> Result<Self> {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(lane);
        if std::env::var_os("HOMECTL_E2E_KEEP").is_none() && dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        }
        std::fs::create_dir_all(dir.join("home")).map_err(|error| format!("{}: {error}", dir.display()))?;
        Ok(Self { dir, runs: Cell::new(0) })
    }

    pub(crate) fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.toml")
    }

    pub(crate) fn write_inventory(&self, text: &str) -> Result {
        write(&self.inventory(), text)
    }

    /// A verb on this folder's inventory.
    pub(crate) fn run(&self, verb: &str, flags: &[&str]) -> Result<Ran> {
        self.run_with(verb, flags, b"")
    }

    /// The same with something on stdin.
    pub(crate) fn run_with(&self, verb: &str, flags: &[&str], stdin: &[u8]) -> Result<Ran> {
        self.run_on(verb, &self.inventory(), flags, stdin)
    }

    /// A verb on another file.
    pub(crate) fn run_on(&self, verb: &str, file: &Path, flags: &[&str], stdin: &[u8]) -> Result<Ran> {
        let ran = run(&mut self.command(verb, file, flags), stdin, DEADLINE)?;
        self.keep(verb, &ran)?;
        Ok(ran)
    }

    /// A verb, and the same again once the first has begun to work.
    pub(crate) fn run_twice(&self, verb: &str, flags: &[&str], stdin: &[u8]) -> Result<(Ran, Ran)> {
        let (mut first, mut second) = (self.command(verb, &self.inventory(), flags), self.command(verb, &self.inventory(), flags));
        let journals = self.dir.join("home/.local/state/homectl/runs");
        let before = begun(&journals);
        let over = std::sync::atomic::AtomicBool::new(false);
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                while begun(&journals) <= before && !over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(20));
                }
                run(&mut second, stdin, DEADLINE)
            });
            let first = run(&mut first, stdin, DEADLINE);
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            (first, second.join())
        });
        let (first, second) = (first?, second.map_err(|_| "the second run broke")??);
        self.keep(verb, &first)?;
        self.keep(verb, &second)?;
        Ok((first, second))
    }

    /// A verb on this folder's inventory, as somebody runs it who has no age identity: with another home.
    pub(crate) fn run_elsewhere(&self, verb: &str, flags: &[&str], stdin: &[u8]) -> Result<Ran> {
        let home = self.dir.join("elsewhere");
        std::fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        let ran = run(self.command(verb, &self.inventory(), flags).env("HOME", home), stdin, DEADLINE)?;
        self.keep(verb, &ran)?;
        Ok(ran)
    }

    /// A verb with words of its own, the inventory where it belongs among them.
    pub(crate) fn words(&self, verb: &str, words: &[&str]) -> Result<Ran> {
        self.words_and(verb, words, |_| ())
    }

    /// The same; `meanwhile` has its process id.
    pub(crate) fn words_and(&self, verb: &str, words: &[&str], meanwhile: impl FnOnce(u32) + Send + 'static) -> Result<Ran> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        self.surroundings(command.arg(verb).args(words));
        let ran = run_and(&mut command, b"", DEADLINE, meanwhile)?;
        self.keep(verb, &ran)?;
        Ok(ran)
    }

    /// A verb that needs no inventory.
    pub(crate) fn bare(&self, verb: &str, flags: &[&str]) -> Result<Ran> {
        let mut command = self.command(verb, Path::new("--no-color"), flags);
        let ran = run(&mut command, b"", DEADLINE)?;
        self.keep(verb, &ran)?;
        Ok(ran)
    }

    /// The same, sent these signals, each so long after the one before; the first after its journal says that work began.
    /// Also how long after the last of them it ended.
    pub(crate) fn run_until(
        &self,
        verb: &str,
        flags: &[&str],
        stdin: &[u8],
        signals: Vec<(Duration, &'static str)>,
    ) -> Result<(Ran, Duration)> {
        let journals = self.dir.join("home/.local/state/homectl/runs");
        let before = begun(&journals);
        let (tell, last) = std::sync::mpsc::channel();
        let ran = run_and(&mut self.command(verb, &self.inventory(), flags), stdin, DEADLINE, move |id| {
            let alive = || std::path::Path::new(&format!("/proc/{id}/stat")).exists();
            while alive() && begun(&journals) <= before {
                std::thread::sleep(Duration::from_millis(20));
            }
            for (after, signal) in signals {
                std::thread::sleep(after);
                Command::new("kill").args(["-s", signal, &id.to_string()]).stderr(std::process::Stdio::null()).status().ok();
                tell.send(Instant::now()).ok();
            }
        })?;
        let since = last.try_iter().last().map(|at| at.elapsed());
        self.keep(verb, &ran)?;
        Ok((ran, since.ok_or("no signal was sent")?))
    }

    /// A verb; each line of its stdout is heard as it comes, with its process id.
    pub(crate) fn run_hearing(&self, verb: &str, flags: &[&str], mut hear: impl FnMut(&str, u32)) -> Result<Ran> {
        // For whoever wonders what takes so long.
        let mut so_far = File::create(self.dir.join("log/now.out")).map_err(|error| error.to_string())?;
        let ran = run_hearing(&mut self.command(verb, &self.inventory(), flags), DEADLINE, |line, id| {
            writeln!(so_far, "{line}").ok();
            hear(line, id);
        })?;
        self.keep(verb, &ran)?;
        Ok(ran)
    }

    fn command(&self, verb: &str, file: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_homectl"));
        self.surroundings(command.arg(verb).arg(file).args(flags));
        command
    }

    fn surroundings(&self, command: &mut Command) {
        command.current_dir(&self.dir).env_clear();
        command.env("HOME", self.dir.join("home")).env("PATH", "/usr/bin:/bin").env("CI", "true").env("NO_COLOR", "1");
    }

    /// What was said, for whoever looks into a failure.
    fn keep(&self, verb: &str, ran: &Ran) -> Result {
        let number = self.runs.get() + 1;
        self.runs.set(number);
        let name = |end: &str| self.dir.join("log").join(format!("{number:02}-{verb}.{end}"));
        write(&name("out"), &ran.out)?;
        write(&name("err"), &format!("{}\n{}\nexit code {:?}, {:.1} s\n", ran.what, ran.err, ran.code, ran.took.as_secs_f64()))
    }
}

/// How many steps all runs together have begun, by their journals below `folder`.
fn begun(folder: &Path) -> usize {
    let below = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect::<Vec<_>>();
    let journals = below(folder).into_iter().flat_map(|cluster| below(&cluster));
    journals.filter_map(|file| std::fs::read_to_string(file).ok()).map(|text| text.matches("\"step-began\"").count()).sum()
}
