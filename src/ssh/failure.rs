//! What the operator is told when a host did not do as asked: what was seen, and the remedy.

use super::RemoteError;
use crate::error::{Failure, exit};

/// What a tunnel says when the server forbids it; the remedy hangs on it.
pub(super) const FORBIDDEN: &str = "the SSH server forbids forwarding";

impl RemoteError {
    /// The failure of `node` that this is.
    #[must_use]
    pub fn into_failure(self, node: &str) -> Failure {
        let code = if matches!(self, Self::Locked { .. }) { exit::LOCKED } else { exit::FAILED };
        let failure = Failure::new(code, self.to_string()).on(node);
        match self.remedy(node) {
            Some(remedy) => failure.help(remedy),
            None => failure,
        }
    }

    fn remedy(&self, node: &str) -> Option<String> {
        Some(match self {
            Self::Unreachable { target, .. } => {
                format!("is {node} switched on, and does `ssh {target}` get there? Address and port are in its [[node]] table")
            }
            Self::Auth { .. } => "put a public key into ~/.ssh/authorized_keys of that user on the machine, and name its private half \
                 with `identity` under [ssh] or in the [[node]] table (or load it into the ssh-agent)"
                .to_owned(),
            Self::HostKeyChanged { target, shown, .. } => format!(
                "either the machine was installed anew, or something else answers at {target}. Look at the key on the machine \
                 itself (its screen, not over this network): for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done. \
                 Only if {shown} is among them, put it in place of the old one: host-key in the [[node]] table of {node}, or \
                 remove the lines named above from the known_hosts file beside the inventory and run with --accept-new"
            ),
            Self::HostKeyUnknown { shown, .. } => format!(
                "compare with the key on the machine itself: for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done. \
                 Then either write host-key = \"{shown}\" into the [[node]] table of {node}, or run with --accept-new, which \
                 records first contacts beside the inventory"
            ),
            Self::Sudo { help, .. } => help.clone(),
            Self::Lost { .. } => {
                "what was running may have ended or not; run the same command again: it looks at what is there and goes on".to_owned()
            }
            Self::Locked { .. } => {
                "wait for the other run to end; if it died, the machine lets go of the lock within 30 s by itself".to_owned()
            }
            Self::Tunnel { seen, .. } if seen == FORBIDDEN => {
                "allow it in /etc/ssh/sshd_config of the machine (AllowTcpForwarding local, DisableForwarding no), then \
                 systemctl reload ssh"
                    .to_owned()
            }
            Self::Upload { seen, .. } if seen.contains("No space left") => format!("make room on {node}, then run the same command again"),
            Self::Timeout { .. } => format!("look at what keeps {node} busy, then run the same command again"),
            Self::Tunnel { .. } | Self::Upload { .. } | Self::Download { .. } | Self::Local { .. } => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_key_shows_both_and_never_a_way_around() {
        let error = RemoteError::HostKeyChanged {
            target: "attic".to_owned(),
            expected: "SHA256:old (host-key in the inventory)".to_owned(),
            shown: "SHA256:new".to_owned(),
        };
        let text = error.into_failure("attic").to_string();
        for part in ["attic: the host key of attic changed", "SHA256:old (host-key in the inventory)", "SHA256:new"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.to_lowercase().contains("stricthostkey"), "{text}");
    }

    #[test]
    fn a_lock_has_an_exit_code_of_its_own() {
        let failure = RemoteError::Locked { holder: "ann@laptop since noon".to_owned() }.into_failure("attic");
        assert_eq!((failure.exit_code(), failure.node()), (exit::LOCKED, Some("attic")));
        assert!(failure.what().contains("ann@laptop since noon"));
        assert_eq!(RemoteError::Lost { seen: "x".to_owned() }.into_failure("attic").exit_code(), exit::FAILED);
    }
}
