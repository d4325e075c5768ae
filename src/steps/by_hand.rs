//! The control plane of one machine as one shell script, to try rendered files on a real machine without the engine:
//! `HOMECTL_BY_HAND=/tmp/out cargo test --lib by_hand -- --ignored`. What it needs besides: the overlay's address, and the
//! programs at the fixture's places in the store.

use super::fixture::Fixture;
use super::{node, pki};
use crate::secrets::Secrets;
use crate::want::{Run, Seen, UnitSeen, Want};
use std::fmt::Write as _;

const STEPS: [&str; 8] = ["pki", "etcd", "apiserver", "controller-manager", "scheduler", "renewal", "approver", "snapshots"];

#[test]
#[ignore = "writes a script with real keys, for a machine of the lab"]
fn control_plane_by_hand() {
    let out = std::env::var("HOMECTL_BY_HAND").expect("HOMECTL_BY_HAND names a folder");
    let names: Vec<String> =
        std::env::var("HOMECTL_BY_HAND_NODES").unwrap_or_else(|_| "attic".into()).split(',').map(str::to_owned).collect();
    let mut fixture = Fixture::four();
    fixture.cluster.nodes.retain(|n| names.contains(&n.name));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    fixture.secrets = Secrets::make(&fixture.cluster, i64::try_from(now).unwrap()).unwrap();
    for name in names {
        let mut script = include_str!("../exec/prelude.sh").to_owned();
        let ca = data_encoding::BASE64.encode(fixture.secrets.cluster_ca.cert.as_bytes());
        let _ = writeln!(
            script,
            "mkdir -p /opt/homectl/lib /etc/homectl /var/lib/homectl {0}\nput {0}/ca.crt 0644 root:root <<'@'\n{ca}\n@",
            pki::PKI
        );
        let steps = node(&fixture.ctx(&name)).unwrap();
        for want in steps.iter().filter(|s| STEPS.contains(&s.id.name.as_str())).flat_map(|s| &s.wants) {
            let seen = if let Want::Unit(_) = want {
                Seen::Unit(UnitSeen { load: "not-found".into(), active: "inactive".into(), ..UnitSeen::default() })
            } else {
                Seen::Absent
            };
            let verdict = want.diff(&seen);
            let Some(Run::Script(run)) = verdict.change().map(|c| &c.run) else { continue };
            let _ = writeln!(script, "( set -eu\n{}\n) || {{ echo 'failed: {}'; exit 1; }}", run.as_str(), want.addr());
        }
        let ready = steps.iter().filter_map(|s| Some((s.id.name.clone(), s.ready.clone()?)));
        for (id, ready) in ready.filter(|(id, _)| STEPS.contains(&id.as_str())) {
            let super::Test::Node(test) = ready.test else { continue };
            std::fs::write(format!("{out}/{name}.ready.{id}.sh"), test.as_str()).unwrap();
        }
        for want in steps.iter().flat_map(|s| &s.wants) {
            let Want::Guard(guard) = want else { continue };
            std::fs::write(format!("{out}/{name}.guard.{}.ok.sh", guard.addr.replace(['/', ':'], "_")), guard.ok.as_str()).unwrap();
            std::fs::write(format!("{out}/{name}.guard.{}.run.sh", guard.addr.replace(['/', ':'], "_")), guard.run.as_str()).unwrap();
        }
        let operator = fixture.secrets.leaf(crate::pki::CLUSTER, crate::pki::name::OPERATOR).unwrap();
        std::fs::write(format!("{out}/operator.pem"), format!("{}{}", operator.cert, operator.key.expose())).unwrap();
        let kubelet = fixture.secrets.leaf(&name, crate::pki::name::KUBELET).unwrap();
        std::fs::write(format!("{out}/{name}.kubelet.pem"), format!("{}{}", kubelet.cert, kubelet.key.expose())).unwrap();
        std::fs::write(format!("{out}/{name}.sh"), script).unwrap();
    }
}
