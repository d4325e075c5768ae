//! Debian and its kin.

use super::Os;
use crate::facts::{Facts, WireGuard};

pub(super) struct Debian;

impl Os for Debian {
    fn packages(&self, facts: &Facts) -> Vec<String> {
        let mut names = vec!["ca-certificates", "haproxy", "ipset", "iproute2", "iptables", "nftables", "openssl", "wireguard-tools"];
        if facts.wireguard == WireGuard::UserSpace {
            names.push("wireguard-go");
        }
        // A container uses its host's modules.
        if facts.container == "none" {
            names.push("kmod");
        }
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect()
    }

    fn query(&self) -> &'static str {
        r#"dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' -- "$@" 2>/dev/null | sed -n 's/^[ih]i  *//p'; dpkg-query -W dpkg >/dev/null || echo '!dpkg-query failed'"#
    }

    fn install(&self) -> &'static str {
        "apt_install \"$@\""
    }

    fn masked(&self) -> &'static [&'static str] {
        &["haproxy.service"]
    }
}
