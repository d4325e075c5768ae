//! The certificates of a cluster, wherever they lie, and who renews each: asked of the machines, of the API and of the secrets.

use super::fleet::Fleet;
use super::world::World;
use crate::cluster::Node;
use crate::facts::Facts;
use crate::kube::{Api, ApiError};
use crate::pki;
use crate::report::{Certificate, Renewal};
use crate::ssh::Connection;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use x509_parser::pem::Pem;

/// Prints `certificate PATH BASE64` and who renews what.
pub(super) const SCRIPT: &str = include_str!("certificates.sh");

/// The serving certificate that lies in the API.
const IN_API: &str = "kube-system/metrics-server-serving";
/// Seconds that a machine's clock may be off: certificates are made to begin as long before they are.
const APART: i64 = pki::BACKDATE;
/// What the kubelet renews itself.
const KUBELETS: &str = "/var/lib/kubelet/pki/";

/// What each machine said, or why it said nothing.
pub(super) type Replies = BTreeMap<String, Result<String, String>>;

/// Asks every machine at once what `script` prints; `overlay` is its address there.
pub(super) async fn ask_all(world: &World, fleet: &Fleet, script: &str) -> Replies {
    let asks = world.cluster.nodes.iter().filter_map(|n| Some(ask(n, fleet.hosts.get(&n.name)?, script)));
    join_all(asks).await.into_iter().collect()
}

async fn ask(node: &Node, host: &Connection, script: &str) -> (String, Result<String, String>) {
    let script = format!("overlay={}\n{script}\necho end\n", node.overlay);
    let told = match host.run(&script, &mut |_| ()).await {
        Ok(reply) if reply.output.lines().last() == Some("end") => Ok(reply.output),
        Ok(reply) => Err(format!("the reply is cut: {:?}", reply.output.lines().last().unwrap_or_default())),
        Err(e) => Err(e.to_string()),
    };
    (node.name.clone(), told)
}

/// PEM of the serving certificate in the API, where there is one.
pub(super) async fn in_api(api: &Api) -> Result<Option<Vec<u8>>, ApiError> {
    let Some(secrets) = api.resource("v1", "Secret").await? else { return Ok(None) };
    let (namespace, name) = IN_API.split_once('/').unwrap_or_default();
    let secret = api.get(&secrets, namespace, name).await?.unwrap_or_default();
    Ok(secret["data"]["tls.crt"].as_str().and_then(|data| data_encoding::BASE64.decode(data.as_bytes()).ok()))
}

/// All of them: the operator's, the API's, then each machine's.
pub(super) fn all(world: &World, machines: &Replies, api: Option<&[u8]>) -> Vec<Certificate> {
    let mut all = Vec::new();
    if let Some(pair) = world.secrets().ok().and_then(|s| s.leaf(pki::CLUSTER, pki::name::OPERATOR)) {
        all.extend(read("operator", "kubeconfig", pair.cert.as_bytes(), world.now, &Renewal::Homectl));
    }
    let mut told = Vec::new();
    for node in &world.cluster.nodes {
        if let Some(Ok(reply)) = machines.get(&node.name) {
            told.push((node, Upkeep::read(reply, world.now), reply));
        }
    }
    if let Some(pem) = api {
        // Any control plane does it.
        let renewals = told.iter().filter(|(_, upkeep, _)| upkeep.listed.contains(IN_API)).map(|(_, upkeep, _)| upkeep.of(IN_API));
        let renewal = renewals.min().unwrap_or_else(|| Renewal::Nobody("no control plane that answered looks after it".into()));
        all.extend(read("API", &format!("Secret {IN_API}"), pem, world.now, &renewal));
    }
    all.extend(told.into_iter().flat_map(|(node, upkeep, reply)| on_machine(&node.name, &upkeep, reply)));
    all
}

/// Those that lie on one machine, with days left by its own clock. `reply` is what it said to `SCRIPT`.
fn on_machine(node: &str, upkeep: &Upkeep, reply: &str) -> Vec<Certificate> {
    let listed = reply.lines().filter_map(|l| l.strip_prefix("certificate ")?.split_once(' '));
    let read = |(path, data): (&str, &str)| {
        let pem = data_encoding::BASE64.decode(data.as_bytes()).ok()?;
        Some(read(node, path, &pem, upkeep.now, &upkeep.of(path)))
    };
    listed.filter_map(read).flatten().collect()
}

/// What a machine says whose clock stands at `its` Unix seconds, read at `now`: the certificates in `pem` at `path`.
#[cfg(test)]
pub(super) fn told(node: &str, its: i64, path: &str, pem: &str, now: i64) -> Vec<Certificate> {
    let reply = format!("now {its}\ncertificate {path} {}\nend\n", data_encoding::BASE64.encode(pem.as_bytes()));
    on_machine(node, &Upkeep::read(&reply, now), &reply)
}

/// Machines by whose clocks certificates may not have begun, or have ended; how far they are off is told.
pub(super) fn clocks<'a>(facts: impl Iterator<Item = (&'a String, &'a Facts)>) -> Vec<(String, String)> {
    let off = facts.filter(|(_, f)| f.skew.abs() > APART);
    let told = |skew: i64| {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        format!("its clock is {} s {way} this computer's, and certificates are judged by it there: timedatectl set-ntp true", skew.abs())
    };
    off.map(|(node, f)| (node.clone(), told(f.skew))).collect()
}

/// Who looks after the certificates of one machine.
struct Upkeep {
    /// The machine's clock, Unix seconds.
    now: i64,
    /// What the timer renews.
    listed: BTreeSet<String>,
    timer: Result<(), String>,
    kubelet: Result<(), String>,
}

impl Upkeep {
    fn read(reply: &str, now: i64) -> Self {
        let said = |key: &str| reply.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' '));
        let (state, result) = said("timer").and_then(|t| t.split_once(' ')).unwrap_or_default();
        let timer = match (state, result) {
            ("active", "success") => Ok(()),
            ("active", result) => Err(format!("homectl-renewal.service failed ({result}); its journal tells")),
            (state, _) => Err(format!("homectl-renewal.timer is {}", if state.is_empty() { "not there" } else { state })),
        };
        let kubelet = match said("kubelet").unwrap_or_default() {
            "active" => Ok(()),
            state => Err(format!("the kubelet is {}", if state.is_empty() { "not there" } else { state })),
        };
        Self {
            now: said("now").and_then(|n| n.parse().ok()).unwrap_or(now),
            listed: reply.lines().filter_map(|l| l.strip_prefix("listed ")).map(str::to_owned).collect(),
            timer,
            kubelet,
        }
    }

    fn of(&self, path: &str) -> Renewal {
        let by = |renewal, state: &Result<(), String>| state.clone().map_or_else(Renewal::Nobody, |()| renewal);
        if path.starts_with(KUBELETS) {
            by(Renewal::Kubelet, &self.kubelet)
        } else if self.listed.contains(path) {
            by(Renewal::Timer, &self.timer)
        } else {
            Renewal::Nobody(String::new())
        }
    }
}

/// Every certificate of a PEM text.
fn read(node: &str, path: &str, pem: &[u8], now: i64, renewal: &Renewal) -> Vec<Certificate> {
    let blocks = Pem::iter_from_buffer(pem).filter_map(Result::ok).filter(|b| b.label == "CERTIFICATE");
    let one = |block: Pem| {
        let cert = block.parse_x509().ok()?;
        let (begins, ends) = (cert.validity().not_before.timestamp(), cert.validity().not_after.timestamp());
        Some(Certificate {
            node: node.into(),
            path: path.into(),
            subject: cert.subject().to_string(),
            issuer: cert.issuer().to_string(),
            authority: cert.is_ca(),
            begins,
            ends,
            left: ends - now,
            renewal: renewal.clone(),
        })
    };
    blocks.filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Arch;

    #[test]
    fn who_renews_is_what_the_machine_says() {
        let of = |reply: &str, path: &str| Upkeep::read(reply, 0).of(path).to_string();
        let well = "now 7\nkubelet active\ntimer active success\nlisted /etc/kubernetes/pki/apiserver.crt\n";
        assert_eq!(of(well, "/etc/kubernetes/pki/apiserver.crt"), "its machine");
        assert_eq!(of(well, "/var/lib/kubelet/pki/kubelet-client-current.pem"), "kubelet");
        assert_eq!(of(well, "/etc/kubernetes/pki/ca.crt"), "nobody");
        let ill = well.replace("kubelet active", "kubelet inactive").replace("success", "exit-code");
        assert_eq!(of(&ill, "/var/lib/kubelet/pki/kubelet-client-current.pem"), "nobody: the kubelet is inactive");
        assert_eq!(of(&ill, "/etc/kubernetes/pki/apiserver.crt"), "nobody: homectl-renewal.service failed (exit-code); its journal tells");
        let off = well.replace("timer active", "timer inactive");
        assert_eq!(of(&off, "/etc/kubernetes/pki/apiserver.crt"), "nobody: homectl-renewal.timer is inactive");
        assert_eq!((Upkeep::read(well, 0).now, Upkeep::read("", 5).now), (7, 5));
    }

    #[test]
    fn a_clock_that_is_off_is_told() {
        let facts = |skew: i64| (skew.to_string(), Facts { skew, ..Facts::assumed("attic", Arch::Amd64) });
        let all = [-86_400, -300, 0, 300, 3600].map(facts);
        let told = clocks(all.iter().map(|(node, facts)| (node, facts)));
        assert_eq!(told.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["-86400", "3600"]);
        assert!(told[0].1.contains("86400 s behind") && told[1].1.contains("3600 s ahead of"), "{told:?}");
    }

    #[test]
    fn a_file_of_two_is_two() {
        let one = pki::make_authority("one", 1_000_000).unwrap();
        let two = pki::make_authority("two", 2_000_000).unwrap();
        let read = read("attic", "ca.crt", format!("{}{}", one.cert, two.cert).as_bytes(), 1_000_000, &Renewal::Homectl);
        let seen: Vec<(&str, bool, i64)> = read.iter().map(|c| (c.subject.as_str(), c.authority, c.left / 86_400)).collect();
        assert_eq!(seen, [("CN=one", true, 3650), ("CN=two", true, 3661)]);
    }
}
