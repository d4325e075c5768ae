//! Everything that is encrypted at rest written anew, while a new key takes the place of the old one.

use super::etcd::ctl;
use super::{Ctx, Step, apiserver};
use crate::error::Result;
use crate::secrets::Stage;
use crate::want::{Guard, Want};

/// Where the API keeps what is encrypted.
const PREFIX: &str = "/registry/secrets/";
/// How often it is tried: what others change in between is written by them, with the new key.
const TRIES: u32 = 5;

/// Only on the first control plane, and only while API servers write with the new key and can still read the old one.
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    let first = ctx.cluster.control_planes().find(|n| ctx.all.contains_key(&n.name));
    if ctx.secrets.key_stage() != Stage::First || first.is_none_or(|n| n.name != ctx.node.name) {
        return Ok(None);
    }
    let name = ctx.secrets.encryption_keys().first().map(|(name, _)| name.clone()).unwrap_or_default();
    let guard = Guard::new("secrets-at-rest", format!("every Secret in etcd is encrypted with {name}"), ok(ctx, &name), run(ctx, &name));
    Ok(Some(Step {
        id: ctx.id("rewrite"),
        title: "Secrets at rest".into(),
        after: ctx.api_servers(),
        wants: vec![Want::Guard(guard)],
        ready: None,
        rolling: None,
        aside: false,
    }))
}

/// sh that sets `all` and `new` to how many Secrets there are, and how many of them the key `name` encrypted, by one read; fails
/// where etcd does.
fn count(ctx: &Ctx, name: &str) -> String {
    format!(
        "count() {{\n{ctl} endpoint health >/dev/null 2>&1 || return 1\n\
         seen=$({{ {ctl} get --prefix {PREFIX} 2>/dev/null || echo failed; }} | LC_ALL=C grep -a -o -E '^({PREFIX}|k8s:enc:secretbox:v1:{name}:|failed$)') || :\n\
         case $seen in *failed*) return 1 ;; esac\n\
         all=$(printf '%s\\n' \"$seen\" | grep -c '^{PREFIX}') || :\n\
         new=$(printf '%s\\n' \"$seen\" | grep -c '^k8s') || :\n}}\n",
        ctl = ctl(ctx),
    )
}

fn ok(ctx: &Ctx, name: &str) -> String {
    format!(
        "{}count || {{ echo 'etcd does not answer yet'; exit 75; }}\n\
         [ \"$(sed -n 's/^.*name: *//p' /etc/kubernetes/encryption.yaml 2>/dev/null | head -n 1)\" = {name} ] || {{ echo 'the API server does not write with the key yet'; exit 75; }}\n\
         [ \"$all\" -le \"$new\" ] || {{ echo \"$((all - new)) of $all Secrets are encrypted with another key\"; exit 1; }}\n\
         echo \"all $all\"\n",
        count(ctx, name)
    )
}

/// Each is read and written as it is; the API server writes with its first key. What they say goes through a pipe and nowhere else.
fn run(ctx: &Ctx, name: &str) -> String {
    let kubectl = format!("/opt/homectl/bin/kubectl --kubeconfig={} --request-timeout=60s", apiserver::ADMIN);
    format!(
        "{}try=0\nwhile :; do\n\
         said=$({kubectl} get secrets --all-namespaces -o json 2>/dev/null | {kubectl} replace -f - 2>&1 >/dev/null | sed 's/^\\(Error from server ([A-Za-z]*)\\).*/\\1/' | sort | uniq -c | tail -n 5) || :\n\
         count || {{ echo 'etcd does not answer' >&2; exit 1; }}\n\
         [ \"$all\" -gt \"$new\" ] || break\n\
         try=$((try + 1))\n[ \"$try\" -lt {TRIES} ] || {{ echo \"$((all - new)) of $all Secrets are still encrypted with another key: $said\" >&2; exit 1; }}\n\
         sleep 1\ndone\necho \"$all Secrets written anew\"\n",
        count(ctx, name)
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;
    use crate::secrets::SecretText;

    #[test]
    fn secrets_are_written_anew_once_every_api_server_writes_with_the_new_key() {
        let mut fixture = Fixture::four();
        let new = || SecretText::new("bmV3".into());
        assert!(step(&fixture.ctx("attic")).unwrap().is_none());
        fixture.secrets.turn_encryption_key(new);
        assert!(step(&fixture.ctx("attic")).unwrap().is_none());
        fixture.secrets.turn_encryption_key(new);
        let step = step(&fixture.ctx("attic")).unwrap().unwrap();
        assert_eq!(step.after, fixture.ctx("attic").api_servers());
        assert!(super::step(&fixture.ctx("cellar")).unwrap().is_none());
        let Want::Guard(guard) = &step.wants[0] else { panic!("a guard") };
        // An answer that did not come is not the answer that there are none.
        let silent = guard.ok.as_str().replace("/opt/homectl/bin/etcdctl", "false");
        assert_eq!(std::process::Command::new("sh").args(["-c", &silent]).output().unwrap().status.code(), Some(75));
        let cut = guard.ok.as_str().replace("/opt/homectl/bin/etcdctl", "etcdctl");
        let cut = format!("etcdctl() {{ case $* in *' get '*) return 1 ;; esac; }}\n{cut}");
        assert_eq!(std::process::Command::new("sh").args(["-c", &cut]).output().unwrap().status.code(), Some(75));
        let file = tempfile::NamedTempFile::new().unwrap();
        let looked = |keys: &str, said: &str| {
            std::fs::write(file.path(), keys).unwrap();
            let ok = guard.ok.as_str().replace("/opt/homectl/bin/etcdctl", "etcdctl");
            let ok = ok.replace("/etc/kubernetes/encryption.yaml", &file.path().to_string_lossy());
            let ok = format!("etcdctl() {{ case $* in *' get '*) printf '{said}' ;; esac; }}\n{ok}");
            let done = std::process::Command::new("sh").args(["-c", &ok]).output().unwrap();
            (done.status.code(), String::from_utf8(done.stdout).unwrap().trim().to_owned())
        };
        let (turned, not_yet) = ("      - name: key2\n      - name: key1\n", "      - name: key1\n      - name: key2\n");
        let [fresh, old] = ["2", "1"].map(|n| format!("/registry/secrets/a/{n}\\nk8s:enc:secretbox:v1:key{n}:\\000\\n/x\\n"));
        assert_eq!(looked(turned, &fresh), (Some(0), "all 1".into()));
        assert_eq!(looked(turned, &format!("{fresh}{old}")), (Some(1), "1 of 2 Secrets are encrypted with another key".into()));
        assert_eq!(looked(turned, ""), (Some(0), "all 0".into()));
        assert_eq!(
            looked(not_yet, ""),
            (Some(75), "the API server does not write with the key yet".into()),
            "one may come with the old key"
        );
        assert!(guard.ok.as_str().contains("k8s:enc:secretbox:v1:key2:") && !guard.run.as_str().contains("bmV3"));
        fixture.secrets.turn_encryption_key(new);
        assert!(super::step(&fixture.ctx("attic")).unwrap().is_none());
    }
}
