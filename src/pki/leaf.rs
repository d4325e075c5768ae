//! What a leaf certificate must say.

use std::fmt;
use std::net::IpAddr;

/// The three authorities of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ca {
    Cluster,
    Etcd,
    FrontProxy,
}

impl Ca {
    /// All of them, in the order they are made.
    pub const ALL: [Self; 3] = [Self::Cluster, Self::Etcd, Self::FrontProxy];

    /// The common name of the authority's own certificate, kubeadm's.
    #[must_use]
    pub fn common_name(self) -> &'static str {
        match self {
            Self::Cluster => "kubernetes",
            Self::Etcd => "etcd-ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

impl fmt::Display for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster CA",
            Self::Etcd => "etcd CA",
            Self::FrontProxy => "front-proxy CA",
        })
    }
}

/// What a leaf may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Client,
    Server,
    /// Both (etcd's peers).
    Both,
}

impl Usage {
    /// Whether TLS servers may show it.
    #[must_use]
    pub fn server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }

    /// Whether TLS clients may show it.
    #[must_use]
    pub fn client(self) -> bool {
        matches!(self, Self::Client | Self::Both)
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Both => "server and client",
        })
    }
}

/// What a leaf must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafSpec {
    pub ca: Ca,
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns: Vec<String>,
    pub ips: Vec<IpAddr>,
    pub usage: Usage,
}

impl LeafSpec {
    /// One line for plans: `CN=… O=… for server: DNS …, IP …`.
    #[must_use]
    pub fn describe(&self) -> String {
        let names = self.names();
        let colon = if names.is_empty() { "" } else { ": " };
        format!("{} for {}{colon}{}", self.subject(), self.usage, names.join(", "))
    }

    /// `CN=… O=…`.
    pub(super) fn subject(&self) -> String {
        subject(std::slice::from_ref(&self.common_name), &self.organizations)
    }

    /// `DNS …` and `IP …` in the order of the spec.
    pub(super) fn names(&self) -> Vec<String> {
        let dns = self.dns.iter().map(|n| dns(n));
        dns.chain(self.ips.iter().copied().map(ip)).collect()
    }
}

/// How messages write a subject.
pub(super) fn subject(common_names: &[String], organizations: &[String]) -> String {
    let cn = common_names.iter().map(|n| format!("CN={n}"));
    cn.chain(organizations.iter().map(|o| format!("O={o}"))).collect::<Vec<_>>().join(" ")
}

/// How messages write a DNS name; case never counts in one.
pub(super) fn dns(name: &str) -> String {
    format!("DNS {}", name.to_ascii_lowercase())
}

/// How messages write an address.
pub(super) fn ip(addr: IpAddr) -> String {
    format!("IP {addr}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_in_one_line() {
        let mut spec = LeafSpec {
            ca: Ca::Cluster,
            common_name: "kube-apiserver".into(),
            organizations: vec!["homectl:x".into()],
            dns: vec!["kubernetes".into()],
            ips: vec!["10.79.0.1".parse().unwrap()],
            usage: Usage::Server,
        };
        assert_eq!(spec.describe(), "CN=kube-apiserver O=homectl:x for server: DNS kubernetes, IP 10.79.0.1");
        (spec.dns, spec.ips, spec.organizations, spec.usage) = (vec![], vec![], vec![], Usage::Both);
        assert_eq!(spec.describe(), "CN=kube-apiserver for server and client");
    }
}
