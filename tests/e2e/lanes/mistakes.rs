//! Each mistake gets a clear word that names node and remedy, its exit code, and no machine is touched.

use crate::Result;
use crate::homectl::Homectl;
use crate::lab::{Lab, read, write};
use crate::scene::{Scene, ensure};
use crate::tree::Trees;

const NODES: [&str; 3] = ["attic", "cellar", "garage"];

pub(crate) fn run(scene: &Scene) -> Result {
    let lab = Lab::up("mistakes", "trixie")?;
    let homectl = Homectl::new("mistakes")?;
    // sudo leaves a note in the home of whoever uses it for the first time.
    for node in NODES {
        lab.sh(node, "su admin -c 'sudo -n true'")?;
    }
    let desk = Desk { scene, lab: &lab, homectl: &homectl };
    desk.operator();
    desk.machine();
    desk.others();
    desk.links();
    Ok(())
}

struct Desk<'a> {
    scene: &'a Scene,
    lab: &'a Lab,
    homectl: &'a Homectl,
}

/// What is due: the exit code, and the words that stderr must hold.
struct Due<'a> {
    code: i32,
    says: &'a [&'a str],
}

impl Desk<'_> {
    /// An inventory of one machine, which each mistake changes.
    fn inventory(&self, node: &str, host: u8, user: &str) -> Result<String> {
        let key = self.lab.state().join("id_ed25519");
        let mirror = crate::lab::mirror();
        Ok(format!(
            "[cluster]\nname = \"lab\"\nkubernetes = \"1.36.3\"\n\n[ssh]\nuser = \"{user}\"\nidentity = \"{}\"\n\n[artifacts]\nmirror = \"file://{}\"\n\n\
             [[node]]\nname = \"{node}\"\naddress = \"{}\"\nrole = \"control-plane\"\nhost-key = \"{}\"\n",
            key.display(),
            mirror.display(),
            self.lab.address(host),
            self.lab.pin(node)?
        ))
    }

    /// One mistake: what it says, and that every machine is as it was.
    fn mistake(&self, what: &str, inventory: &str, due: &Due) {
        self.scene.check(what, || {
            let before = self.trees()?;
            self.homectl.write_inventory(inventory)?;
            let ran = self.homectl.run("apply", &["--yes"])?.with(due.code)?;
            for word in due.says {
                ensure(ran.err.contains(word), || format!("'{word}' is not said: {}", ran.seen()))?;
            }
            ensure(ran.err.contains("help:"), || format!("no remedy: {}", ran.seen()))?;
            same(&before, &self.trees()?)
        });
    }

    /// Everything that a write would change, and everything that a person would call a trace.
    fn trees(&self) -> Result<[Trees; 2]> {
        Ok([Trees::of(self.lab, &NODES)?, Trees::of_machines(self.lab, &NODES)?])
    }

    /// What is wrong at the operator's desk.
    fn operator(&self) {
        let Ok(good) = self.inventory("attic", 11, "admin") else { return };
        let stray = self.homectl.dir.join("stray");
        self.scene.check("wrong SSH key: made", || {
            let stray = stray.display().to_string();
            let _ = std::fs::remove_file(&stray);
            let mut command = std::process::Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f", &stray]);
            crate::shell::run(&mut command, &[], std::time::Duration::from_secs(20))?.ok().map(drop)
        });
        let key = self.lab.state().join("id_ed25519").display().to_string();
        let wrong_key = good.replace(&key, &stray.display().to_string());
        self.mistake("wrong SSH key", &wrong_key, &Due { code: 1, says: &["attic", "authorized_keys"] });

        let pin = self.lab.pin("attic").unwrap_or_default();
        let other = self.lab.pin("cellar").unwrap_or_default();
        let wrong_pin = good.replace(&pin, &other);
        self.mistake("wrong host key", &wrong_pin, &Due { code: 1, says: &["attic", &pin, &other] });

        let nobody = good.replace(&self.lab.address(11), &self.lab.address(99));
        self.mistake("unreachable machine", &nobody, &Due { code: 1, says: &["attic", &self.lab.address(99)] });
        let ghost = format!("{good}\n[[node]]\nname = \"ghost\"\naddress = \"{}\"\n", self.lab.address(98));
        self.mistake("one of two machines unreachable", &ghost, &Due { code: 1, says: &["ghost", &self.lab.address(98)] });

        self.wrong_sum(&good);
    }

    /// The lock is made by `lock`, then one sum is turned around: apply fetches and refuses.
    fn wrong_sum(&self, good: &str) {
        self.scene.check("wrong sha256 in the lock", || {
            self.homectl.write_inventory(good)?;
            self.homectl.run("lock", &[])?.ok()?;
            let path = self.homectl.dir.join("inventory.lock");
            let lock = read(&path)?;
            let wrong: Vec<String> =
                lock.lines().map(|line| if line.contains("sha256") { turned(line) } else { line.to_owned() }).collect();
            ensure(wrong.join("\n") != lock.trim_end(), || format!("no sums in the lock: {lock}"))?;
            write(&path, &(wrong.join("\n") + "\n"))?;
            let before = self.trees()?;
            let ran = self.homectl.run("apply", &["--yes"])?;
            let after = self.trees()?;
            let kept = std::fs::rename(&path, path.with_extension("lock.wrong"));
            let ran = ran.with(1)?;
            ensure(ran.err.contains("sha256") && ran.err.contains("help:"), || ran.seen())?;
            kept.map_err(|error| error.to_string())?;
            same(&before, &after)
        });
    }

    /// What is wrong with the machine.
    fn machine(&self) {
        if let Ok(pw) = self.inventory("cellar", 12, "pw") {
            self.mistake("sudo wants a password", &pw, &Due { code: 1, says: &["cellar", "sudo", "--ask-sudo-password"] });
            self.scene.check("sudo: with the password it plans", || {
                self.homectl.write_inventory(&pw)?;
                self.homectl.run_with("plan", &["--exit-code", "--ask-sudo-password"], b"homectl\n")?.with(2).map(drop)
            });
            self.scene.check("sudo: a wrong password is told", || {
                let ran = self.homectl.run_with("plan", &["--ask-sudo-password"], b"guess\n")?.with(1)?;
                ensure(ran.err.contains("cellar") && ran.err.contains("password"), || ran.seen())
            });
        }
        if let Ok(full) = self.inventory("garage", 13, "admin") {
            self.mistake("a disk with 100 MB left", &full, &Due { code: 1, says: &["garage", "/opt", "MiB free"] });
        }
        let Ok(good) = self.inventory("attic", 11, "admin") else { return };
        self.planted("no sudo at all", &good, 1, "mv /usr/bin/sudo /root/sudo", "mv /root/sudo /usr/bin/sudo", &["sudo"]);
        // A stand-in: the file that tells which distribution it is, changed.
        let fake = "cp /usr/lib/os-release /root/os-release && printf 'ID=plan9\\nNAME=\"Plan 9\"\\nPRETTY_NAME=\"Plan 9\"\\n' >/usr/lib/os-release";
        self.planted(
            "an unsupported distribution (stand-in: another os-release)",
            &good,
            1,
            fake,
            "mv /root/os-release /usr/lib/os-release",
            &["Plan 9", "supported"],
        );
    }

    /// Somebody else's cluster on the machine. Stand-ins: units and processes of those names.
    fn others(&self) {
        let Ok(good) = self.inventory("attic", 11, "admin") else { return };
        for unit in ["kubelet", "docker", "k3s"] {
            let plant = format!(
                "cp /usr/bin/sleep /usr/local/bin/{unit} && printf '[Service]\\nExecStart=/usr/local/bin/{unit} 1000000\\n[Install]\\nWantedBy=multi-user.target\\n' \
                 >/etc/systemd/system/{unit}.service && systemctl daemon-reload && systemctl enable --now {unit} 2>/dev/null"
            );
            let weed = format!(
                "systemctl disable --now {unit} 2>/dev/null; rm -f /etc/systemd/system/{unit}.service /usr/local/bin/{unit}; systemctl daemon-reload"
            );
            self.planted(&format!("somebody else's {unit} (stand-in: a unit that sleeps)"), &good, 4, &plant, &weed, &[unit]);
        }
    }

    /// Somebody else's VPN has the name that ours would have.
    fn links(&self) {
        let Ok(good) = self.inventory("attic", 11, "admin") else { return };
        let plant = "ip link add wg0 type bridge && ip address add 10.99.0.1/24 dev wg0 && ip link set wg0 up";
        self.planted("somebody else's wg0 (stand-in: a bridge)", &good, 4, plant, "ip link del wg0", &["wg0"]);
        let conf = "mkdir -p /etc/wireguard && echo '[Interface]' >/etc/wireguard/wg0.conf";
        self.planted("somebody else's wg0.conf", &good, 4, conf, "rm -r /etc/wireguard", &["/etc/wireguard/wg0.conf"]);
    }

    fn planted(&self, what: &str, inventory: &str, code: i32, plant: &str, weed: &str, says: &[&str]) {
        if let Err(error) = self.lab.sh("attic", plant) {
            self.scene.check(&format!("{what}: planted"), || Err(error));
            return;
        }
        let says: Vec<&str> = std::iter::once("attic").chain(says.iter().copied()).collect();
        self.mistake(what, inventory, &Due { code, says: &says });
        self.scene.check(&format!("{what}: taken away"), || self.lab.sh("attic", weed).map(drop));
    }
}

fn same(before: &[Trees; 2], after: &[Trees; 2]) -> Result {
    before.iter().zip(after).try_for_each(|(before, after)| after.same_as(before))
}

/// A line with the first digit of its sum changed.
fn turned(line: &str) -> String {
    let Some(at) = line.rfind(|c: char| c.is_ascii_hexdigit()) else { return line.to_owned() };
    let digit = if &line[at..=at] == "0" { "1" } else { "0" };
    format!("{}{digit}{}", &line[..at], &line[at + 1..])
}
