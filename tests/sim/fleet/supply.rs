//! Programs: a line or two of sh that answers as long as its service runs, another text for each version.

use futures::future::BoxFuture;
use homectl::error::Result;
use homectl::exec::{Supplied, Supply};
use homectl::want::Program;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) struct Shelf(PathBuf);

impl Shelf {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }
}

fn text(name: &str, version: &str) -> String {
    let told = if name == "etcd" { format!("etcd Version: {}", version.trim_start_matches('v')) } else { format!("Kubernetes {version}") };
    let asked = format!("[ \"${{1-}}\" != --version ] || {{ echo '{told}'; exit 0; }}\nexec sleep 1000");
    let body = match name {
        "etcd" | "kubelet" | "kube-apiserver" => asked.as_str(),
        "etcdctl" => "exec /usr/local/sbin/sim-etcdctl \"$@\"",
        "etcdutl" => "exec /usr/local/sbin/sim-etcdutl \"$@\"",
        "kubectl" => {
            ". /usr/local/sbin/sim.sh\nsim_api / || { echo 'connection refused' >&2; exit 1; }\n\
             case $* in\n*/api/v1/nodes/*/proxy/healthz)\n  n=${*##*/nodes/}\n  n=${n%%/*}\n\
             sim_runs \"/fleet/$n\" kubelet.service && [ -s \"/fleet/$n/var/lib/kubelet/pki/kubelet-server-current.pem\" ] || { echo 'no serving certificate' >&2; exit 1; }\n;;\n\
             *' replace '*)\n  cat >/dev/null\n  sim_op\n  key=$(sed -n 's/^.*name: *//p' /etc/kubernetes/encryption.yaml | head -n 1)\n  \
             for m in /fleet/*/var/lib/etcd/member; do echo \"$key\" >\"$m/key\"; done\n;;\nesac"
        }
        "ctr" => ". /usr/local/sbin/sim.sh\nsim_runs / containerd.service",
        _ => "exec sleep 1000",
    };
    format!("#!/bin/sh\n# {name} {version}\n{body}\n")
}

impl Supply for Shelf {
    fn get<'a>(&'a self, program: &'a Program) -> BoxFuture<'a, Result<Vec<Supplied>>> {
        Box::pin(async move {
            let dir = self.0.join(format!("{}-{}", program.component, program.version));
            fs::create_dir_all(&dir).unwrap();
            let one = |name: &str| {
                let (path, text) = (dir.join(name), text(name, &program.version));
                fs::write(&path, &text).unwrap();
                let sha256 = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
                Supplied { name: name.into(), path, sha256, size: text.len() as u64 }
            };
            Ok(program.names().map(one).collect())
        })
    }
}
