//! The approver's script with requests made by openssl and a `kubectl` that plays the API.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("../../templates/approver/approve-serving");

/// One request as the API would tell of it; the default is one that fits.
struct Request {
    signer: &'static str,
    user: &'static str,
    groups: &'static [&'static str],
    usages: &'static [&'static str],
    seconds: &'static str,
    subject: &'static str,
    names: &'static str,
}

const GOOD: Request = Request {
    signer: "kubernetes.io/kubelet-serving",
    user: "system:node:attic",
    groups: &["system:nodes", "system:authenticated"],
    usages: &["digital signature", "server auth"],
    seconds: "0",
    subject: "/O=system:nodes/CN=system:node:attic",
    names: "DNS:attic,IP:10.77.0.1",
};

/// What the script says of `request`, and the object it sends.
fn judged(request: &Request) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let pem = csr(dir.path(), request.subject, request.names);
    ask(dir.path(), request, &data_encoding::BASE64.encode(pem.as_bytes()))
}

fn ask(dir: &Path, request: &Request, body: &str) -> (String, String) {
    let list = |items: &[&str]| items.iter().map(|i| format!("{i:?}")).chain(["-".into()]).collect::<Vec<_>>().join(",");
    let line = [
        "\"csr-x1\"".to_owned(),
        format!("{:?}", request.signer),
        format!("{:?}", request.user),
        list(request.groups),
        list(request.usages),
        request.seconds.to_owned(),
        "\"uid-1\"".to_owned(),
        "\"42\"".to_owned(),
        format!("{body:?}"),
    ]
    .join("\t");
    std::fs::write(dir.join("requests"), line + "\n").unwrap();
    std::fs::write(dir.join("serving.list"), "# NAME ADDRESS\nattic 10.77.0.1\ncellar 10.77.0.2\n").unwrap();
    let at = dir.display();
    let fake = format!(
        "#!/bin/sh\nfor last; do :; done\ncase $* in\n*' get '*) cat {at}/requests ;;\n*' replace '*) cat \"$last\" >{at}/sent; echo \"$*\" >>{at}/sent ;;\nesac\n"
    );
    executable(&dir.join("kubectl"), &fake);
    executable(&dir.join("approve-serving"), SCRIPT);
    let out = Command::new(dir.join("approve-serving"))
        .env("HOMECTL_KUBECTL", dir.join("kubectl"))
        .env("HOMECTL_SERVING", dir.join("serving.list"))
        .env("TMPDIR", dir)
        .output()
        .unwrap();
    assert!(out.status.success(), "{out:?}");
    (String::from_utf8(out.stdout).unwrap(), std::fs::read_to_string(dir.join("sent")).unwrap_or_default())
}

/// Written by a child: a descriptor open for writing here could be inherited by another test's child, and then the
/// file is busy when it is to be run.
pub(super) fn executable(path: &Path, text: &str) {
    let mut sh = Command::new("sh");
    sh.args(["-c", "cat >\"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut child = sh.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

/// A request signed by a new key; `names` in openssl's notation, empty for none.
fn csr(dir: &Path, subject: &str, names: &str) -> String {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject, "-keyout"]);
    openssl.arg(dir.join("key.pem"));
    if !names.is_empty() {
        openssl.args(["-addext", &format!("subjectAltName={names}")]);
    }
    let out = openssl.output().unwrap();
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn what_fits_is_approved_as_it_was_seen() {
    let (said, sent) = judged(&GOOD);
    assert_eq!(said, "csr-x1: approved for attic\n");
    let (object, command) = sent.trim_end().rsplit_once('\n').unwrap();
    assert!(command.contains("replace --raw /apis/certificates.k8s.io/v1/certificatesigningrequests/csr-x1/approval"), "{command}");
    let object: serde_json::Value = serde_json::from_str(object).unwrap();
    assert_eq!(object["metadata"], serde_json::json!({"name": "csr-x1", "uid": "uid-1", "resourceVersion": "42"}));
    assert_eq!(object["spec"]["usages"], serde_json::json!(["digital signature", "server auth"]));
    assert_eq!(object["status"]["conditions"][0]["type"], "Approved");
}

#[test]
fn an_address_alone_and_rsa_usages_fit() {
    let usages = &["digital signature", "key encipherment", "server auth"];
    for request in [Request { names: "IP:10.77.0.1", ..GOOD }, Request { usages, ..GOOD }, Request { seconds: "86400", ..GOOD }] {
        assert_eq!(judged(&request).0, "csr-x1: approved for attic\n");
    }
}

#[test]
fn what_does_not_fit_is_left_pending_with_its_reason() {
    let table = [
        (Request { names: "DNS:attic,IP:10.77.0.2", ..GOOD }, "IP Address:10.77.0.2 is not an address of attic"),
        (Request { names: "DNS:attic,IP:10.77.0.1,DNS:k8s.home.lan", ..GOOD }, "DNS:k8s.home.lan is not a name of attic"),
        (Request { names: "DNS:cellar", ..GOOD }, "DNS:cellar is not a name of attic"),
        (Request { names: "DNS:attic,email:a@b.c", ..GOOD }, "email:a@b.c is not a name of attic"),
        (Request { names: "DNS:attic,URI:https://attic", ..GOOD }, "URI:https://attic is not a name of attic"),
        (Request { names: "", ..GOOD }, "no name and no address is asked for"),
        (Request { subject: "/O=system:nodes/CN=system:node:cellar", ..GOOD }, "the subject=CN=system:node:cellar,O=system:nodes"),
        (Request { subject: "/CN=system:node:attic", ..GOOD }, "the subject=CN=system:node:attic"),
        (
            Request { subject: "/O=system:masters/O=system:nodes/CN=system:node:attic", ..GOOD },
            "the subject=CN=system:node:attic,O=system:nodes,O=system:masters",
        ),
        (Request { usages: &["digital signature", "client auth"], ..GOOD }, "the usages are \"digital signature\",\"client auth\",-"),
        (Request { usages: &["server auth"], ..GOOD }, "the usages are \"server auth\",-"),
        (
            Request { usages: &["digital signature", "server auth", "client auth"], ..GOOD },
            "the usages are \"digital signature\",\"server auth\",\"client auth\",-",
        ),
        (
            Request { signer: "kubernetes.io/kube-apiserver-client-kubelet", ..GOOD },
            "the signer is \"kubernetes.io/kube-apiserver-client-kubelet\"",
        ),
        (Request { user: "system:serviceaccount:default:x", ..GOOD }, "the requester is \"system:serviceaccount:default:x\", not a node"),
        (Request { user: "system:node:shed", ..GOOD }, "no node of the inventory is called shed"),
        (Request { user: "system:node:#", ..GOOD }, "the requester is \"system:node:#\""),
        (Request { user: "system:node:cellar", ..GOOD }, "the subject=CN=system:node:attic,O=system:nodes"),
        (Request { user: "system:node:attic\tx", ..GOOD }, "the requester is \"system:node:attic\\tx\""),
        (Request { groups: &["system:authenticated"], ..GOOD }, "\"system:node:attic\" is not in the group system:nodes"),
        (Request { seconds: "315360000", ..GOOD }, "it should last 315360000 seconds"),
        (Request { seconds: "%!f(string=x)", ..GOOD }, "it should last %!f(string=x) seconds"),
    ];
    for (request, reason) in table {
        let (said, sent) = judged(&request);
        assert_eq!(said, format!("csr-x1: left pending: {reason}\n"));
        assert_eq!(sent, "", "{reason}");
    }
}

#[test]
fn a_request_that_is_none_is_left_pending() {
    let dir = tempfile::tempdir().unwrap();
    let (said, sent) = ask(dir.path(), &GOOD, &data_encoding::BASE64.encode(b"no request"));
    assert_eq!((said.as_str(), sent.as_str()), ("csr-x1: left pending: the request is not signed by its own key\n", ""));
    let (said, _) = ask(dir.path(), &GOOD, "$(id)");
    assert_eq!(said, "csr-x1: left pending: the request is not base64\n");
}

/// A request whose signature is not its key's: somebody else's request, changed.
#[test]
fn a_changed_request_is_left_pending() {
    let dir = tempfile::tempdir().unwrap();
    let pem = csr(dir.path(), GOOD.subject, GOOD.names);
    let text: String = pem.lines().filter(|l| !l.starts_with("---")).collect();
    let mut der = data_encoding::BASE64.decode(text.as_bytes()).unwrap();
    let last = der.len() - 1;
    der[last] ^= 1;
    let body = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", data_encoding::BASE64.encode(&der));
    let (said, sent) = ask(dir.path(), &GOOD, &data_encoding::BASE64.encode(body.as_bytes()));
    assert_eq!((said.as_str(), sent.as_str()), ("csr-x1: left pending: the request is not signed by its own key\n", ""));
}

/// A foreign name behind many of its own: where only the first of them fit on the disk, nobody would have judged it.
#[test]
fn names_that_a_full_disk_cut_off_are_judged_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let names = format!("{}DNS:evil", "IP:10.77.0.1,".repeat(120));
    let pem = csr(dir.path(), GOOD.subject, &names);
    let (said, sent) = ask(dir.path(), &GOOD, &data_encoding::BASE64.encode(pem.as_bytes()));
    assert!(said.contains("left pending: DNS:evil is not a name of attic") && sent.is_empty(), "{said}");
    let largest = std::fs::metadata(dir.path().join("requests")).unwrap().len();
    for most in (largest + 50..largest + 1500).step_by(50) {
        let mut sh = Command::new("sh");
        sh.args(["-c", "trap '' XFSZ; exec prlimit --fsize=\"$1\" \"$2\"", "-", &most.to_string()]).arg(dir.path().join("approve-serving"));
        sh.env("HOMECTL_KUBECTL", dir.path().join("kubectl")).env("HOMECTL_SERVING", dir.path().join("serving.list"));
        let out = sh.env("TMPDIR", dir.path()).output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(said.contains("left pending") && !dir.path().join("sent").exists(), "{most}: {said}");
    }
}
