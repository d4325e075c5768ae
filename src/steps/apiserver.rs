//! The API server of a control plane: own user, own etcd member, everything that the CIS benchmark asks of its flags.

use super::identity::{kubeconfig, pair};
use super::pki::PKI;
use super::programs::links;
use super::{Ctx, Ready, Step};
use crate::cluster::Component;
use crate::error::Result;
use crate::pki::name;
use crate::secrets::SecretText;
use crate::template::{context, render};
use crate::want::{Account, Dir, File, Unit, Want};

/// The unit.
pub(super) const UNIT: &str = "kube-apiserver.service";
/// root's own way in, at kubeadm's path.
pub(super) const ADMIN: &str = "/etc/kubernetes/admin.conf";
/// Where the audit log and its rotated, compressed predecessors lie: at most about 250 MB.
const AUDIT_LOG: &str = "/var/log/kubernetes/audit";

/// Authenticated encryption only; the first three are TLS 1.3's.
pub(super) const CIPHER_SUITES: &str = "TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,\
     TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,\
     TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256";

/// Leaves that the API server shows, by their names in `pki`; the files are called the same.
const LEAVES: [&str; 4] = [name::APISERVER, name::APISERVER_KUBELET_CLIENT, name::APISERVER_ETCD_CLIENT, name::FRONT_PROXY_CLIENT];

/// The API server.
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let mut wants = vec![
        Want::Account(Account::new("kube-apiserver")),
        Want::Dir(Dir::new("/var/log/kubernetes").tree()),
        Want::Dir(Dir::new(AUDIT_LOG).mode(0o700).owner("kube-apiserver:kube-apiserver").tree()),
    ];
    wants.extend(links(ctx, Component::KubeApiserver)?);
    for leaf in LEAVES {
        wants.extend(pair(ctx, leaf, &format!("{PKI}/{leaf}"), Some(UNIT))?);
    }
    wants.extend([
        config("authentication.yaml", include_str!("../../templates/apiserver/authentication.yaml")),
        config("admission.yaml", include_str!("../../templates/apiserver/admission.yaml")),
        config("audit-policy.yaml", include_str!("../../templates/apiserver/audit-policy.yaml")),
        Want::File(File::secret("/etc/kubernetes/encryption.yaml", encryption(ctx)?).restarts(UNIT)),
        kubeconfig(ctx, name::ADMIN, ADMIN, None)?,
        Want::File(File::text(format!("/etc/systemd/system/{UNIT}"), unit(ctx)?).mode(0o600).restarts(UNIT)),
        Want::Unit(Unit::running(UNIT)),
    ]);
    let ready = Ready {
        deadline: 300,
        units: vec![UNIT.into(), super::etcd::UNIT.into()],
        ..Ready::node("this node's API server is ready", format!("{} 2>&1\n", get("/readyz")))
    };
    Ok(Some(Step {
        id: ctx.id("apiserver"),
        title: "API server".into(),
        after: Vec::new(),
        wants,
        ready: Some(ready),
        rolling: Some("apiserver"),
        aside: false,
    }))
}

/// sh that asks this node's API server for a path, as administrator.
pub(super) fn get(path: &str) -> String {
    format!("/opt/homectl/bin/kubectl --kubeconfig={ADMIN} --request-timeout=5s get --raw {path}")
}

fn config(name: &str, text: &str) -> Want {
    Want::File(File::text(format!("/etc/kubernetes/{name}"), text).restarts(UNIT))
}

fn encryption(ctx: &Ctx) -> Result<SecretText> {
    let keys: Vec<(String, String)> =
        ctx.secrets.encryption_keys().into_iter().map(|(name, key)| (name, key.expose().to_owned())).collect();
    render("apiserver/encryption.yaml.j2", context! { keys }).map(SecretText::new)
}

/// What systemd hands over: keys and certificates, the signer of tokens, the key of encryption at rest.
fn credentials() -> Vec<(String, String)> {
    let leaves = LEAVES.into_iter().flat_map(|leaf| [format!("{leaf}.crt"), format!("{leaf}.key")]);
    let in_pki = leaves.chain(["sa.key".to_owned()]).map(|file| (file.clone(), format!("{PKI}/{file}")));
    in_pki.chain([("encryption.yaml".to_owned(), "/etc/kubernetes/encryption.yaml".to_owned())]).collect()
}

fn unit(ctx: &Ctx) -> Result<String> {
    let network = &ctx.cluster.network;
    render(
        "apiserver/kube-apiserver.service.j2",
        context! {
            overlay => ctx.node.overlay.to_string(), domain => &network.domain, services => network.services.to_string(),
            credentials => credentials(), cipher_suites => CIPHER_SUITES, audit_log => AUDIT_LOG,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn keys_of_encryption_at_rest_as_the_api_server_reads_them() {
        let mut fixture = Fixture::one();
        let text = |fixture: &Fixture| encryption(&fixture.ctx("attic")).unwrap().expose().to_owned();
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [\"secrets\"]\n  providers:\n  - secretbox:\n      keys:\n";
        let old = fixture.secrets.encryption_key.expose().to_owned();
        assert_eq!(text(&fixture), format!("{head}      - name: key1\n        secret: {old}\n"));
        fixture.secrets.turn_encryption_key(|| SecretText::new("bmV3".into()));
        assert_eq!(text(&fixture), format!("{head}      - name: key1\n        secret: {old}\n      - name: key2\n        secret: bmV3\n"));
    }
}
