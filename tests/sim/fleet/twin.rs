//! Machines that are copies of one that has everything. What is a machine's own is written as it is wanted, without a run of
//! the engine; whether that is all, the next look says.

use super::machine::Machine;
use homectl::secrets::Pair;
use homectl::want::{Body, File, Want};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

impl Machine {
    /// The same files, units and kernel as `other` has.
    pub(crate) fn become_like(&self, other: &Self) {
        for (from, to) in [(other.root(), self.root()), (other.ctl(), self.ctl())] {
            let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(status.success(), "{} cannot be copied", other.name);
        }
        self.write_shell();
        self.identify();
    }

    /// What `wants` has files for, the kubelet's first certificate, the name that `other` has, and the overlay as its program would have made it of those files.
    pub(crate) fn take_on(&self, other: &Self, wants: &[&Want], kubelet: &Pair) {
        let root = self.root();
        for want in wants {
            let Want::File(File { path, body: Some(body), .. }) = want else { continue };
            let text = match body {
                Body::Text(text) => text,
                Body::Secret(text) => text.expose(),
                Body::Sealed(_) => panic!("{path}: the secrets are open"),
            };
            replace(&root, path, text);
        }
        replace(&root, "/var/lib/kubelet/pki/kubelet-client-initial.pem", &format!("{}{}", kubelet.cert, kubelet.key.expose()));
        for path in ["/etc/hostname", "/etc/hosts", "/proc/sys/kernel/hostname"] {
            let text = fs::read_to_string(root.join(&path[1..])).unwrap();
            replace(&root, path, &text.replace(&other.name, &self.name));
        }
        let overlay = |name: &str| fs::read_to_string(root.join("etc/homectl/overlay").join(name)).unwrap();
        let (link, conf, key) = (overlay("link"), overlay("wg0.conf"), overlay("private.key"));
        let setting = |name: &str| link.lines().find_map(|l| l.strip_prefix(name)).unwrap().trim_matches('\'');
        replace(&root, "/sim/net/wg0.addresses", &format!("{}\n", setting("ADDRESS=")));
        replace(&root, "/sim/net/wg0.routes", &format!("{}\n", setting("ROUTES=").replace(' ', "\n")));
        replace(&root, "/sim/net/wg0.wg", &conf.replace("[Interface]\n", &format!("[Interface]\nPrivateKey = {}\n", key.trim())));
    }
}

/// Other content in a file that stays as old as it is, so that nothing that has read it seems to be behind.
fn replace(root: &Path, path: &str, text: &str) {
    let path = root.join(&path[1..]);
    let before = fs::metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).modified().unwrap();
    let mut file = fs::File::options().write(true).truncate(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.set_modified(before).unwrap();
}
