//! What homectl writes on the operator's own disk: whatever happens while it does, each file is the old one or the new one,
//! whole, and nothing else stays.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "fixture/mirror.rs"]
mod mirror;

use homectl::cluster::Lock;
use homectl::inventory;
use homectl::secrets::{self, Secrets};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const ATTIC: &str =
    "[[node]]\nname = \"attic\"\naddress = \"127.0.0.1\"\nport = 1\nendpoint = \"192.168.1.2:51820\"\nrole = \"control-plane\"\n";
const BARN: &str = "[[node]]\nname = \"barn\"\naddress = \"127.0.0.1\"\nport = 2\nendpoint = \"192.168.1.3:51820\"\n";

/// An operator's folder below `home`, and a mirror that has every sum. No machine answers.
struct Desk {
    home: PathBuf,
}

impl Desk {
    fn new(home: &Path) -> Self {
        let desk = Self { home: home.to_owned() };
        std::fs::create_dir_all(desk.inventories()).unwrap();
        desk.house(ATTIC);
        desk.stock();
        desk
    }

    /// The mirror has what the inventory asks for.
    fn stock(&self) {
        let read = inventory::read(&self.inventory()).unwrap();
        mirror::mirror(&self.home.join("mirror"), &read);
    }

    /// The version in the inventory as somebody edits it by hand.
    fn edit(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.inventory()).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.inventory(), text.replace(from, to)).unwrap();
    }

    fn inventories(&self) -> PathBuf {
        self.home.join("house")
    }

    fn inventory(&self) -> PathBuf {
        self.inventories().join("inventory.toml")
    }

    fn identity(&self) -> PathBuf {
        self.home.join(".config/homectl/identity.txt")
    }

    fn house(&self, nodes: &str) {
        let mirror = self.home.join("mirror");
        let head = "[cluster]\nname = \"home\"\nkubernetes = \"1.36.3\"\n[ssh]\nuser = \"pi\"\n";
        std::fs::write(self.inventory(), format!("{head}[artifacts]\nmirror = \"file://{}\"\n{nodes}", mirror.display())).unwrap();
    }

    /// `apply` writes lock, identity and secrets, and then finds nobody.
    fn command(&self, around: &[&str]) -> Command {
        self.verb(around, &["apply", "--yes"])
    }

    fn verb(&self, around: &[&str], verb: &[&str]) -> Command {
        let mut words: Vec<String> = around.iter().map(|w| (*w).to_owned()).collect();
        words.push(env!("CARGO_BIN_EXE_homectl").to_owned());
        words.extend(verb.iter().map(|w| (*w).to_owned()));
        words.push(self.inventory().display().to_string());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().env("HOME", &self.home).env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn undisturbed(&self) {
        let told = self.command(&["env"]).output().unwrap();
        assert!(said(&told).contains("does not answer"), "{}", said(&told));
    }

    fn lock(&self) -> PathBuf {
        Lock::path(&self.inventory())
    }

    fn sealed(&self) -> PathBuf {
        self.inventory().with_extension("secrets.age")
    }

    fn secrets(&self) -> Secrets {
        let identity = secrets::find_identity(Some(&self.identity())).unwrap().unwrap().identity;
        secrets::open(&self.sealed(), "home", &identity).unwrap()
    }

    /// Names of all files in the operator's folders.
    fn files(&self) -> Vec<String> {
        let folders = [self.inventories(), self.identity().parent().unwrap().to_owned()];
        let names = folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap()).map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

const FILES: [&str; 4] = ["identity.txt", "inventory.lock", "inventory.secrets.age", "inventory.toml"];

fn said(told: &Output) -> String {
    format!("{:?}\n{}{}", told.status, String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr))
}

/// Lock and secrets of one machine, and those with another added: what a run that is cut may leave is one or the other.
struct Story {
    desk: Desk,
    old: (Vec<u8>, Vec<u8>),
    new: Vec<u8>,
    before: Secrets,
}

impl Story {
    fn begin(home: &Path) -> Self {
        let desk = Desk::new(home);
        desk.undisturbed();
        assert_eq!(desk.files(), FILES);
        let old = (std::fs::read(desk.lock()).unwrap(), std::fs::read(desk.sealed()).unwrap());
        let before = desk.secrets();
        desk.house(&format!("{ATTIC}{BARN}"));
        desk.undisturbed();
        let new = std::fs::read(desk.lock()).unwrap();
        assert!(new != old.0 && desk.secrets() != before, "a machine more is another lock and more secrets");
        Self { desk, old, new, before }
    }

    /// As before the second machine came, but for what lies about.
    fn back(&self) {
        std::fs::write(self.desk.lock(), &self.old.0).unwrap();
        std::fs::write(self.desk.sealed(), &self.old.1).unwrap();
    }

    /// Both files are whole; whether they are the new ones.
    fn whole(&self) -> (bool, bool) {
        let lock = std::fs::read(self.desk.lock()).unwrap();
        assert!(lock == self.old.0 || lock == self.new, "half a lock: {}", String::from_utf8_lossy(&lock));
        let now = self.desk.secrets();
        assert!(now.wireguard["attic"] == self.before.wireguard["attic"] && now.cluster_ca == self.before.cluster_ca);
        let grown = now.wireguard.contains_key("barn");
        assert!(grown || now == self.before);
        (lock == self.new, grown)
    }
}

#[test]
fn killed_at_any_moment_old_or_new_files_are_whole() {
    let home = tempfile::tempdir().unwrap();
    let story = Story::begin(home.path());
    let begun = Instant::now();
    story.back();
    story.desk.undisturbed();
    let whole = begun.elapsed();
    let mut ends = BTreeMap::new();
    for n in 0..50u32 {
        story.back();
        let mut child = story.desk.command(&["env"]).spawn().unwrap();
        // Spread evenly, with the golden ratio: every part of the run has its share whatever the number is.
        std::thread::sleep(whole.mul_f64((f64::from(n) * 0.618_033_988).fract()));
        child.kill().unwrap();
        child.wait().unwrap();
        *ends.entry(story.whole()).or_insert(0) += 1;
    }
    assert!(ends.len() > 1, "every run was cut at the same place: {ends:?}");
    story.back();
    story.desk.undisturbed();
    assert_eq!(story.desk.files(), FILES, "what killed runs left goes with the next");
    assert_eq!(story.whole(), (true, true));
}

/// The kernel kills whoever writes more than so many bytes into a file: in the middle of each write.
#[test]
fn killed_in_the_middle_of_a_write_nothing_is_lost() {
    let home = tempfile::tempdir().unwrap();
    let story = Story::begin(home.path());
    let (lock, sealed) = (story.new.len(), std::fs::metadata(story.desk.sealed()).unwrap().len());
    assert!((lock as u64) < sealed, "the lock, written first, is the shorter one: both are met");
    for bytes in [1, lock as u64 / 2, lock as u64 - 1, lock as u64, sealed / 2, sealed * 3 / 4] {
        story.back();
        let told = story.desk.command(&["prlimit", &format!("--fsize={bytes}")]).output().unwrap();
        assert!(told.status.code().is_none(), "it was not killed: {}", said(&told));
        assert_eq!(story.whole(), (bytes >= lock as u64, false), "killed at {bytes} of {lock} and {sealed} bytes");
        assert!(story.desk.files().len() > FILES.len(), "it was killed before it wrote: {:?}", story.desk.files());
    }
    // Somebody else's file, and one that a run which goes on is about to write.
    std::fs::write(story.desk.inventories().join(".homectl-notes"), "").unwrap();
    let alive = std::fs::File::create(story.desk.inventories().join(".homectl-alive")).unwrap();
    alive.lock().unwrap();
    std::fs::remove_file(story.desk.inventories().join(".homectl-notes")).unwrap();
    story.back();
    story.desk.undisturbed();
    let left: Vec<String> = story.desk.files().into_iter().filter(|name| !FILES.contains(&name.as_str())).collect();
    assert_eq!(left, [".homectl-alive"], "what killed runs left goes with the next, and nothing else");
}

/// A disk of a few pages, filled to the brim, in a mount namespace of its own.
#[test]
fn a_full_disk_leaves_the_old_files() {
    let home = tempfile::tempdir().unwrap();
    let story = Story::begin(home.path());
    story.back();
    let at = story.desk.inventories();
    // $1: the folder. What it holds moves to a small disk; after the run it is shown.
    let small = "set -e; cp -a \"$1\" \"$1.kept\"; mount -t tmpfs -o size=128k tmpfs \"$1\"; cp -a \"$1.kept/.\" \"$1\"\n\
                 head -c 1m /dev/zero >\"$1/filler\" 2>/dev/null || :\n\
                 shift; rc=0; \"$@\" || rc=$?; rm \"$0/filler\"; ls -A \"$0\"; cmp \"$0/inventory.lock\" \"$0.kept/inventory.lock\"\n\
                 cmp \"$0/inventory.secrets.age\" \"$0.kept/inventory.secrets.age\"; exit $rc";
    let around = ["unshare", "--mount", "sh", "-c", small, at.to_str().unwrap(), at.to_str().unwrap()];
    let told = story.desk.command(&around).output().unwrap();
    let text = said(&told);
    assert_eq!(told.status.code(), Some(1), "THIS TEST NEEDS root: {text}");
    assert!(text.contains("cannot write") && text.contains("No space left on device") && text.contains("make room"), "{text}");
    assert_eq!(String::from_utf8_lossy(&told.stdout), "inventory.lock\ninventory.secrets.age\ninventory.toml\n", "{text}");
    std::thread::sleep(Duration::from_millis(1));
}

/// Of a cluster that lives: the lock follows a version that was edited by hand and knows what was there before; what may not be
/// is refused before it is written. Who goes back, and that nobody does, is known without any machine, too.
#[test]
fn a_version_that_is_edited_by_hand_moves_like_an_upgrade() {
    let home = tempfile::tempdir().unwrap();
    let desk = Desk::new(home.path());
    let (old, new) = ("\"1.35.4\"", "\"1.36.3\"");
    desk.edit(new, old);
    desk.stock();
    desk.undisturbed();
    let lock = || std::fs::read_to_string(desk.lock()).unwrap();
    std::fs::write(desk.lock(), lock().replacen("[numbers]", "etcd-cluster-id = \"0123456789abcdef\"\n\n[numbers]", 1)).unwrap();
    let ran = |verb: &[&str]| desk.verb(&["env"], verb).output().unwrap();
    let settled = lock();

    let told = ran(&["rollback", "--node", "attic", "--yes"]);
    assert!(told.status.code() == Some(4) && said(&told).contains("nothing to go back to: no version is on its way"), "{}", said(&told));

    desk.edit(old, new);
    for verb in [&["plan"][..], &["status"]] {
        ran(verb);
        assert_eq!(lock(), settled, "who only looks sets nothing on its way");
    }
    desk.undisturbed();
    let moving = lock();
    assert!(moving.contains("kubernetes = \"1.36.3\"") && moving.contains("[previous]\nkubernetes = \"1.35.4\""), "{moving}");
    let told = ran(&["rollback", "--node", "attic", "--yes"]);
    assert!(told.status.code() == Some(1) && said(&told).contains("does not answer; nothing was changed"), "{}", said(&told));
    assert_eq!(lock(), moving, "what is on its way stays so until machines have it");

    // Back before any machine was met: what was given up is remembered, in case one has it.
    desk.edit(new, old);
    desk.undisturbed();
    let back = lock();
    assert!(!back.contains("[previous]") && back.contains("[[older]]\nkubernetes = \"1.36.3\""), "{back}");

    // All machines have the newer one.
    std::fs::write(desk.lock(), moving.split("[previous]").next().unwrap()).unwrap();
    let arrived = lock();
    for verb in [&["apply", "--yes"][..], &["upgrade", "--to", "1.35.4", "--yes"]] {
        let told = ran(verb);
        assert!(told.status.code() == Some(4) && said(&told).contains("1.36.3 may not become 1.35.4: it would go back"), "{}", said(&told));
        assert_eq!(lock(), arrived);
    }
    assert_ne!(settled, arrived);
}

/// The homectl that does not know a version any more is the one that leaves it.
#[test]
fn a_version_that_is_known_no_more_is_left_by_upgrade() {
    let home = tempfile::tempdir().unwrap();
    let desk = Desk::new(home.path());
    desk.edit("\"1.36.3\"", "\"1.34.9\"");
    let refused = desk.command(&["env"]).output().unwrap();
    assert!(refused.status.code() == Some(65) && said(&refused).contains("1.34.9"), "{}", said(&refused));
    let told = desk.verb(&["env"], &["upgrade", "--to", "1.36.3", "--yes"]).output().unwrap();
    assert!(told.status.code() == Some(1) && said(&told).contains("does not answer"), "{}", said(&told));
    let text = std::fs::read_to_string(desk.inventory()).unwrap();
    assert!(text.contains("\"1.34.9\""), "nobody was met, so nothing is written: {text}");
}

/// A terminal that closes, a service manager: as Ctrl-C, not as a power cut. What `nohup` starts outlives its terminal.
#[test]
fn whoever_ends_it_ends_it_like_ctrl_c() {
    let home = tempfile::tempdir().unwrap();
    let desk = Desk::new(home.path());
    desk.undisturbed();
    // Somebody who takes calls and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    desk.house(&ATTIC.replace("port = 1", &format!("port = {}", silent.local_addr().unwrap().port())));
    let called = || {
        let end = Instant::now() + Duration::from_mins(1);
        while Instant::now() < end {
            if let Ok((stream, _)) = silent.accept() {
                return stream;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("nobody called");
    };
    for (signal, around) in [("TERM", &["env"][..]), ("HUP", &["env"])] {
        let child = desk.command(around).spawn().unwrap();
        let _line = called();
        kill(signal, child.id());
        let told = child.wait_with_output().unwrap();
        assert_eq!(told.status.code(), Some(130), "{signal}: {}", said(&told));
        assert!(said(&told).contains("nothing was changed on any machine"), "{signal}: {}", said(&told));
    }
    let mut child = desk.command(&["nohup"]).spawn().unwrap();
    let _line = called();
    kill("HUP", child.id());
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "nohup was undone");
    kill("TERM", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn kill(signal: &str, id: u32) {
    assert!(Command::new("kill").args(["-s", signal, &id.to_string()]).status().unwrap().success());
}
