//! The authorities and the service-account pair, where kubeadm puts them. Leaves belong to the steps that show them
//! ([`super::identity`]).

use super::{Ctx, Step};
use crate::error::Result;
use crate::pki::Ca;
use crate::want::{Dir, File, Want};

/// Where certificates and keys lie.
pub(super) const PKI: &str = "/etc/kubernetes/pki";

/// The one certificate of the cluster's authority that belongs to the key; who signs takes no more than one.
pub(super) const SIGNER: &str = "/etc/kubernetes/pki/ca-signing.crt";

const API: &str = "kube-apiserver.service";
const CONTROLLERS: &str = "kube-controller-manager.service";
const SCHEDULER: &str = "kube-scheduler.service";

/// On a control plane; the cluster CA's certificate is on every node ([`super::base`]).
#[expect(clippy::unnecessary_wraps, reason = "one shape for all steps")]
pub(super) fn step(ctx: &Ctx) -> Result<Option<Step>> {
    if !ctx.node.is_control_plane() {
        return Ok(None);
    }
    let secrets = ctx.secrets;
    let wants = vec![
        Want::Dir(Dir::new(format!("{PKI}/etcd"))),
        Want::File(told(File::text(SIGNER, &secrets.authority(Ca::Cluster).cert).certifies(Ca::Cluster), &[CONTROLLERS])),
        Want::File(told(File::secret(key_path(Ca::Cluster), secrets.authority(Ca::Cluster).key.clone()), &[CONTROLLERS])),
        Want::File(told(certificate(Ca::FrontProxy, &secrets.trusted(Ca::FrontProxy)), &[API, CONTROLLERS, SCHEDULER])),
        Want::File(File::secret(key_path(Ca::FrontProxy), secrets.authority(Ca::FrontProxy).key.clone())),
        Want::File(told(certificate(Ca::Etcd, &secrets.trusted(Ca::Etcd)), &[super::etcd::UNIT, API])),
        Want::File(File::secret(key_path(Ca::Etcd), secrets.authority(Ca::Etcd).key.clone())),
        Want::File(told(File::secret(format!("{PKI}/sa.key"), secrets.service_account.clone()), &[API, CONTROLLERS])),
        Want::File(told(File::text(format!("{PKI}/sa.pub"), &secrets.service_account_public), &[API])),
    ];
    Ok(Some(Step { id: ctx.id("pki"), title: "authorities".into(), after: Vec::new(), wants, ready: None, rolling: None, aside: false }))
}

/// Where the certificates of an authority lie that are trusted: two while one takes the other's place.
pub(super) fn cert_path(ca: Ca) -> String {
    format!("{PKI}/{}.crt", stem(ca))
}

/// The file of an authority's certificates, of which `pem` is the text.
pub(super) fn certificate(ca: Ca, pem: &str) -> File {
    File::text(cert_path(ca), pem).certifies(ca)
}

fn key_path(ca: Ca) -> String {
    format!("{PKI}/{}.key", stem(ca))
}

/// The authority's files below [`PKI`] on a control plane, without `.crt` and `.key`.
pub(super) fn stem(ca: Ca) -> &'static str {
    match ca {
        Ca::Cluster => "ca",
        Ca::Etcd => "etcd/ca",
        Ca::FrontProxy => "front-proxy-ca",
    }
}

/// `file`, of whose change these units have to hear.
fn told(file: File, units: &[&str]) -> File {
    units.iter().fold(file, |file, unit| file.restarts(*unit))
}
