//! Which version a program is, by its own word: asked only where the lock does not know it by its sum.

use semver::Version;
use std::collections::BTreeMap;

/// A read-only script that asks the programs of these names, as they are linked; its reply is for [`versions`].
#[must_use]
pub fn versions_script(names: &[String]) -> String {
    let ask = |name: &String| {
        format!("printf 'version.{name}=%s\\n' \"$(timeout 30 /opt/homectl/bin/{name} --version 2>/dev/null | head -n 1)\"\n")
    };
    names.iter().map(ask).collect()
}

/// The version of each program that told one: `Kubernetes v1.36.3`, `etcd Version: 3.6.16`.
#[must_use]
pub fn versions(reply: &str) -> BTreeMap<String, Version> {
    let of = |line: &str| {
        let (name, said) = line.strip_prefix("version.")?.split_once('=')?;
        Some((name.to_owned(), said.split_whitespace().last()?.trim_start_matches('v').parse().ok()?))
    };
    reply.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_tell_their_version() {
        let told = versions("version.kubelet=Kubernetes v1.36.3\nversion.etcd=etcd Version: 3.6.16\nversion.kube-apiserver=\nx=1\n");
        let told: Vec<String> = told.iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(told, ["etcd 3.6.16", "kubelet 1.36.3"]);
        let script = versions_script(&["kubelet".into()]);
        let said = std::process::Command::new("sh").arg("-c").arg(&script).output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).starts_with("version.kubelet="), "{said:?}");
    }
}
