//! Certificates as `judge` and `openssl` see them.

use super::fixture::{DAY, NOW, cluster, run};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn spec() -> LeafSpec {
    LeafSpec {
        ca: Ca::Cluster,
        common_name: "kube-apiserver".into(),
        organizations: vec!["group".into()],
        dns: vec!["kubernetes".into(), "Attic".into()],
        ips: vec!["10.79.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        usage: Usage::Server,
    }
}

fn authority() -> Authority {
    make_authority(Ca::Cluster.common_name(), NOW).unwrap()
}

#[test]
fn a_fresh_leaf_holds_until_a_third_of_its_life_is_left() {
    let ca = authority();
    let leaf = issue(&ca, &spec(), NOW).unwrap();
    let at = |now| judge(&spec(), &ca.cert, &leaf.cert, now);
    assert_eq!(at(NOW), Ok("valid, 365 days left".into()));
    assert_eq!(at(NOW - BACKDATE), Ok("valid, 365 days left".into()));
    assert_eq!(at(NOW + 25 * DAY), Ok("valid, 340 days left".into()));
    assert_eq!(at(NOW + 243 * DAY), Ok("valid, 122 days left".into()));
    assert_eq!(at(NOW + 244 * DAY), Err("less than a third of its life left (121 days of 365 days)".into()));
    assert_eq!(at(NOW + 365 * DAY - 7200), Err("less than a third of its life left (2 hours of 365 days)".into()));
    assert_eq!(at(NOW + 365 * DAY), Err("expired 0 s ago".into()));
    assert_eq!(at(NOW + 400 * DAY), Err("expired 35 days ago".into()));
    assert_eq!(at(NOW - BACKDATE - 1), Err("not valid for another 1 s".into()));
    assert_eq!(at(NOW - 3 * DAY), Err("not valid for another 2 days".into()));
}

#[test]
fn what_a_leaf_says_too_little_or_too_much_is_named() {
    let ca = authority();
    let leaf = issue(&ca, &spec(), NOW).unwrap();
    let differs = |change: &dyn Fn(&mut LeafSpec)| {
        let mut wanted = spec();
        change(&mut wanted);
        judge(&wanted, &ca.cert, &leaf.cert, NOW).unwrap_err()
    };
    let missing = differs(&|s| {
        s.dns.push("k8s.home.lan".into());
        s.ips.push("203.0.113.7".parse().unwrap());
    });
    assert_eq!(missing, "lacks DNS k8s.home.lan, IP 203.0.113.7");
    assert_eq!(differs(&|s| s.ips.clear()), "also names IP 10.79.0.1, IP fd00::1");
    assert_eq!(differs(&|s| s.dns[0] = "other".into()), "lacks DNS other; also names DNS kubernetes");
    assert_eq!(differs(&|s| s.common_name = "x".into()), "subject is CN=kube-apiserver O=group, wanted CN=x O=group");
    assert_eq!(differs(&|s| s.organizations.clear()), "subject is CN=kube-apiserver O=group, wanted CN=kube-apiserver");
    assert_eq!(
        differs(&|s| s.organizations.push("y".into())),
        "subject is CN=kube-apiserver O=group, wanted CN=kube-apiserver O=group O=y"
    );
    assert_eq!(differs(&|s| s.usage = Usage::Client), "for server, wanted client");
    assert_eq!(differs(&|s| s.usage = Usage::Both), "for server, wanted server and client");
    let all = differs(&|s| (s.dns, s.usage) = (vec!["kubernetes".into()], Usage::Both));
    assert_eq!(all, "also names DNS attic; for server, wanted server and client");
}

#[test]
fn another_authority_is_told_from_one_of_the_same_name() {
    let (ours, same_name) = (authority(), authority());
    let etcd = make_authority(Ca::Etcd.common_name(), NOW).unwrap();
    let leaf = issue(&ours, &spec(), NOW).unwrap();
    let by = |ca: &Authority| judge(&spec(), &ca.cert, &leaf.cert, NOW).unwrap_err();
    assert_eq!(by(&same_name), "signed by another cluster CA of the same name");
    assert_eq!(by(&etcd), "signed by CN=kubernetes, not by the cluster CA (CN=etcd-ca)");
    assert_eq!(
        judge(&spec(), &ours.cert, &leaf.cert, NOW + 3650 * DAY).unwrap_err(),
        "the cluster CA expired 0 s ago; expired 3285 days ago"
    );
}

#[test]
fn what_cannot_be_read_is_wrong() {
    let ca = authority();
    let leaf = issue(&ca, &spec(), NOW).unwrap();
    let judged = |pem: &str| judge(&spec(), &ca.cert, pem, NOW);
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n", leaf.key.expose()] {
        assert_eq!(judged(pem), Err("not a PEM certificate".into()), "{pem}");
    }
    assert_eq!(judged("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Err("damaged".into()));
    assert_eq!(judge(&spec(), "", &leaf.cert, NOW), Err("the cluster CA is not a PEM certificate".into()));
    // As the kubelet writes its own: either may come first.
    assert!(judged(&format!("{}{}", leaf.key.expose(), leaf.cert)).is_ok());
    assert!(judged(&format!("{}{}", leaf.cert, leaf.key.expose())).is_ok());
}

/// A leaf of `spec()`'s subject that somebody else made.
fn foreign(ca: &Authority, change: impl Fn(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::new(["kubernetes", "attic", "10.79.0.1", "fd00::1"].map(str::to_owned)).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.distinguished_name.push(DnType::OrganizationName, "group");
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(2026, 11, 1), rcgen::date_time_ymd(2027, 11, 1));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    let issuer = Issuer::from_ca_cert_pem(&ca.cert, KeyPair::from_pem(ca.key.expose()).unwrap()).unwrap();
    params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().pem()
}

#[test]
fn usages_must_be_exactly_the_wanted() {
    let ca = authority();
    let judged = |change: &dyn Fn(&mut CertificateParams)| judge(&spec(), &ca.cert, &foreign(&ca, change), NOW);
    assert!(judged(&|_| {}).is_ok());
    let key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    assert!(judged(&|p| p.key_usages.clone_from(&key_usages)).is_ok());
    assert_eq!(judged(&|p| p.key_usages = vec![KeyUsagePurpose::KeyAgreement]).unwrap_err(), "its key may not sign");
    assert_eq!(judged(&|p| p.extended_key_usages.clear()).unwrap_err(), "for any use, wanted server");
    assert_eq!(judged(&|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::Any)).unwrap_err(), "for server and any use, wanted server");
    let both = judged(&|p| p.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth));
    assert_eq!(both.unwrap_err(), "for server and client, wanted server");
    assert_eq!(judged(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).unwrap_err(), "is an authority, not a leaf");
    let uri = judged(&|p| p.subject_alt_names.push(rcgen::SanType::URI("spiffe://x".try_into().unwrap())));
    assert_eq!(uri.unwrap_err(), "also names URI(spiffe://x)");
}

#[test]
fn keys_are_kept_when_wanted_and_recognised() {
    let ca = authority();
    let first = issue(&ca, &spec(), NOW).unwrap();
    let again = reissue(&ca, &spec(), &first.key, NOW + DAY).unwrap();
    let other = issue(&ca, &spec(), NOW).unwrap();
    assert!(first.is_whole() && again.is_whole() && ca.is_whole());
    assert_eq!(first.key, again.key);
    assert_ne!(first.cert, again.cert);
    assert!(same_key(&first.cert, &again.cert));
    assert!(!same_key(&first.cert, &other.cert) && !same_key("", ""));
    assert!(!Pair { cert: first.cert.clone(), key: other.key.clone() }.is_whole());
    let mixed = Authority { cert: ca.cert, key: other.key };
    assert!(issue(&mixed, &spec(), NOW).unwrap_err().what().contains("do not belong together"));
    let no_key = SecretText::new("-----BEGIN EC PRIVATE KEY-----".into());
    assert!(reissue(&authority(), &spec(), &no_key, NOW).unwrap_err().what().contains("not a PKCS#8 PEM"));
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let ca = authority();
    let late = NOW + 3600 * DAY;
    let leaf = issue(&ca, &spec(), late).unwrap();
    assert_eq!(judge(&spec(), &ca.cert, &leaf.cert, late), Ok("valid, 50 days left".into()));
    let failure = issue(&ca, &spec(), NOW + 3653 * DAY).unwrap_err();
    assert_eq!(failure.what(), "the cluster CA expired 3 days ago");
    assert!(failure.remedy().unwrap().contains("clock"));
}

#[test]
fn who_holds_what() {
    let leaves = leaves(&cluster());
    let of = |owner: &str| leaves.iter().filter(|l| l.owner == owner).map(|l| l.name).collect::<Vec<_>>();
    assert_eq!(of("attic").len(), 12);
    assert_eq!(of("cellar"), [name::KUBELET]);
    assert_eq!(of(CLUSTER), [name::OPERATOR, name::METRICS_SERVER]);
    let keys: BTreeSet<_> = leaves.iter().map(|l| (&l.owner, l.name)).collect();
    assert_eq!(keys.len(), leaves.len());
    let told: Vec<String> = leaves.iter().map(|l| format!("{}/{} ({}): {}", l.owner, l.name, l.spec.ca, l.spec.describe())).collect();
    let expected = [
        "attic/apiserver (cluster CA): CN=kube-apiserver for server: DNS kubernetes, DNS kubernetes.default, DNS kubernetes.default.svc, DNS kubernetes.default.svc.cluster.local, DNS localhost, DNS attic, DNS k8s.home.lan, IP 10.79.0.1, IP 127.0.0.1, IP 10.77.0.1, IP 203.0.113.7",
        "attic/apiserver-kubelet-client (cluster CA): CN=kube-apiserver-kubelet-client O=homectl:kubelet-api-admin for client",
        "attic/apiserver-etcd-client (etcd CA): CN=kube-apiserver-etcd-client for client",
        "attic/front-proxy-client (front-proxy CA): CN=front-proxy-client for client",
        "attic/etcd-server (etcd CA): CN=attic for server and client: DNS localhost, DNS attic, IP 127.0.0.1, IP 10.77.0.1",
        "attic/etcd-peer (etcd CA): CN=attic for server and client: DNS localhost, DNS attic, IP 127.0.0.1, IP 10.77.0.1",
        "attic/etcd-healthcheck-client (etcd CA): CN=kube-etcd-healthcheck-client for client",
        "attic/controller-manager (cluster CA): CN=system:kube-controller-manager for client",
        "attic/scheduler (cluster CA): CN=system:kube-scheduler for client",
        "attic/admin (cluster CA): CN=kubernetes-admin O=system:masters for client",
        "attic/approver (cluster CA): CN=homectl:csr-approver for client",
        "attic/kubelet (cluster CA): CN=system:node:attic O=system:nodes for client",
        "cellar/kubelet (cluster CA): CN=system:node:cellar O=system:nodes for client",
        "cluster/operator (cluster CA): CN=homectl-operator O=homectl:operators for client",
        "cluster/metrics-server (cluster CA): CN=metrics-server.kube-system.svc for server: DNS metrics-server.kube-system.svc, DNS metrics-server.kube-system.svc.cluster.local",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_name_is_said_once() {
    let mut cluster = cluster();
    cluster.api.names = ["attic", "LOCALHOST", "127.0.0.1", "10.77.0.1"].map(str::to_owned).into();
    let spec = leaves(&cluster).remove(0).spec;
    assert_eq!((spec.dns.len(), spec.ips.len()), (6, 3));
}

/// Files for openssl; gone with the directory.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.0.path(), name)
    }

    /// Runs openssl; words that start with `@` are files of ours.
    fn openssl(&self, line: &str, input: &str) -> Option<Result<String, String>> {
        let words: Vec<String> =
            line.split(' ').map(|w| w.strip_prefix('@').map_or_else(|| w.to_owned(), |f| self.path(f).display().to_string())).collect();
        run("openssl", &words.iter().map(String::as_str).collect::<Vec<_>>(), input)
    }
}

/// `NOW` in the form that keeps openssl's idea of time ours.
fn verify(files: &Files, more: &str) -> Option<Result<String, String>> {
    files.openssl(&format!("verify -x509_strict -attime {NOW} -CAfile @ca.crt {more} @leaf.crt"), "")
}

#[test]
fn openssl_verifies_every_leaf_for_its_use_only() {
    for leaf in leaves(&cluster()) {
        let ca = make_authority(leaf.spec.ca.common_name(), NOW).unwrap();
        let pair = issue(&ca, &leaf.spec, NOW).unwrap();
        let files = Files::new(&[("ca.crt", &ca.cert), ("leaf.crt", &pair.cert)]);
        let Some(server) = verify(&files, "-purpose sslserver") else { return };
        let client = verify(&files, "-purpose sslclient").unwrap();
        assert_eq!(server.is_ok(), leaf.spec.usage.server(), "{}: {server:?}", leaf.name);
        assert_eq!(client.is_ok(), leaf.spec.usage.client(), "{}: {client:?}", leaf.name);
        for ip in &leaf.spec.ips {
            verify(&files, &format!("-verify_ip {ip}")).unwrap().unwrap();
        }
        for dns in &leaf.spec.dns {
            verify(&files, &format!("-verify_hostname {dns}")).unwrap().unwrap();
        }
        assert!(verify(&files, "-verify_ip 192.168.1.1").unwrap().is_err());
        assert!(verify(&files, "-verify_hostname example.net").unwrap().is_err());
    }
}

#[test]
fn openssl_reads_what_we_meant() {
    let ca = authority();
    let pair = issue(&ca, &spec(), NOW).unwrap();
    let files = Files::new(&[("ca.crt", &ca.cert), ("leaf.crt", &pair.cert), ("leaf.key", pair.key.expose())]);
    let line = "x509 -in @leaf.crt -noout -serial -dates -dateopt iso_8601 -subject -ext keyUsage,extendedKeyUsage,basicConstraints,authorityKeyIdentifier";
    let Some(told) = files.openssl(line, "") else { return };
    let told = told.unwrap();
    for said in [
        "notBefore=2026-11-20 23:55:00Z",
        "notAfter=2027-11-21 00:00:00Z",
        "subject=O = group, CN = kube-apiserver",
        "Key Usage: critical\n    Digital Signature\n",
        "TLS Web Server Authentication\n",
        "CA:FALSE",
        "Authority Key Identifier",
    ] {
        assert!(told.contains(said), "{said} in {told}");
    }
    let serial = told.lines().find_map(|l| l.strip_prefix("serial=")).unwrap();
    assert_eq!(serial.len(), 32);
    let public = files.openssl("pkey -in @leaf.key -pubout", "").unwrap().unwrap();
    assert_eq!(files.openssl("x509 -in @leaf.crt -noout -pubkey", "").unwrap().unwrap(), public);
    assert!(pair.key.expose().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let told = files.openssl("x509 -in @ca.crt -noout -ext keyUsage,basicConstraints,subjectKeyIdentifier", "").unwrap().unwrap();
    for said in ["CA:TRUE", "Digital Signature, Certificate Sign, CRL Sign", "Subject Key Identifier"] {
        assert!(told.contains(said), "{said} in {told}");
    }
}

/// As nodes renew: the same key and names, signed again by openssl.
#[test]
fn a_leaf_that_openssl_renewed_holds() {
    let ca = authority();
    let old = issue(&ca, &spec(), NOW - 300 * DAY).unwrap();
    let files = Files::new(&[("ca.crt", &ca.cert), ("ca.key", ca.key.expose()), ("leaf.crt", &old.cert), ("leaf.key", old.key.expose())]);
    let Some(request) = files.openssl("x509 -x509toreq -in @leaf.crt -signkey @leaf.key -copy_extensions copy", "") else { return };
    let line = "x509 -req -CA @ca.crt -CAkey @ca.key -days 365 -copy_extensions copy";
    let renewed = files.openssl(line, &request.unwrap()).unwrap().unwrap();
    assert!(same_key(&renewed, &old.cert));
    // openssl dates it by the machine's clock.
    let parsed = super::judge::Parsed::new(&renewed).unwrap();
    let now = parsed.cert().unwrap().validity().not_before.timestamp();
    assert!(judge(&spec(), &ca.cert, &old.cert, NOW).is_err());
    assert_eq!(judge(&spec(), &ca.cert, &renewed, now).map(|said| said.contains("36")), Ok(true));
}
