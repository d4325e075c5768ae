//! `kubeconfig`: how kubectl reaches the cluster from the operator's computer: one context a control plane, by its
//! LAN address, verified as `kubernetes`, so that LAN addresses are in no certificate.

use super::world::World;
use crate::cli::{Global, Kubeconfig};
use crate::error::{Failure, Result, exit};
use crate::pki::Ca;
use crate::report::Reporter;
use serde_json::{Value, json};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

/// `homectl kubeconfig`.
pub(super) async fn run(args: &Kubeconfig, global: &Global, out: &Reporter) -> Result<u8> {
    let world = World::open(&args.target.inventory, global, out).await?;
    let text = render(&world)?;
    if !world.cluster.api.lan {
        out.talk("warning: `lan = false` closes the API on the machines' addresses that this kubeconfig names: use it from inside the overlay only");
    }
    let Some(path) = &args.out else {
        out.data(text);
        return Ok(exit::OK);
    };
    let failed = |e: std::io::Error| Failure::failed(format!("{} could not be written", path.display())).seen(e.to_string());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let mut file = tempfile::Builder::new().prefix(".kubeconfig").tempfile_in(folder).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    // A temporary file is made 0600; saying it again costs nothing and survives a changed library.
    std::fs::OpenOptions::new().write(true).mode(0o600).open(path).map_err(failed)?;
    out.talk(&format!("Wrote {}. Try: kubectl --kubeconfig {0} get nodes", path.display()));
    Ok(exit::OK)
}

/// One cluster and context for each control plane; the first is current.
fn render(world: &World) -> Result<String> {
    let secrets = world.opened()?;
    let operator = secrets.leaf("cluster", "operator").ok_or_else(|| Failure::bug("the secrets hold no operator certificate"))?;
    let b64 = |text: &str| data_encoding::BASE64.encode(text.as_bytes());
    let ca = b64(&secrets.trusted(Ca::Cluster));
    let name = &world.cluster.name;
    let user = format!("{name}-operator");
    let mut clusters = Vec::new();
    let mut contexts = Vec::new();
    for (i, node) in world.cluster.control_planes().enumerate() {
        let context = if i == 0 { name.clone() } else { format!("{name}-{}", node.name) };
        let address = &node.ssh.address;
        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        clusters.push(json!({ "name": context, "cluster": {
            "server": format!("https://{host}:6443"), "tls-server-name": "kubernetes", "certificate-authority-data": ca,
        }}));
        contexts.push(json!({ "name": context, "context": { "cluster": context, "user": user } }));
    }
    let config: Value = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": name,
        "clusters": clusters, "contexts": contexts,
        "users": [{ "name": user, "user": {
            "client-certificate-data": b64(&operator.cert), "client-key-data": b64(operator.key.expose()),
        }}],
    });
    serde_saphyr::to_string(&config).map_err(|e| Failure::bug(format!("the kubeconfig could not be written: {e}")))
}
