//! Certificates and keys: judged by meaning, mended from the secrets, and whoever shows them restarts.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "a certificate of another authority, for the same key and names",
        &[(
            "attic",
            "cd /tmp; pki=/etc/kubernetes/pki; openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -new -key ca.key -subj /CN=kubernetes-ca -days 30 -out ca.crt
openssl x509 -in $pki/apiserver.crt -noout -ext subjectAltName | sed -n 's/IP Address:/IP:/g; s/^ *\\(DNS:\\|IP:\\)/subjectAltName=\\1/p' >names
printf 'extendedKeyUsage=serverAuth\\n' >>names
openssl req -new -key $pki/apiserver.key -subj /CN=kube-apiserver -out csr
openssl x509 -req -in csr -CA ca.crt -CAkey ca.key -days 30 -extfile names -out crt 2>/dev/null
cat crt >$pki/apiserver.crt; rm ca.key ca.crt names csr crt",
        )],
        &["attic update certificate:/etc/kubernetes/pki/apiserver.crt", "attic restart unit:kube-apiserver.service"],
        &[(
            "attic",
            "openssl verify -CAfile /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/apiserver.crt
address=$(ip -4 -o address show dev wg0 | awk '{ sub(\"/.*\", \"\", $4); print $4 }')
openssl s_client -connect $address:6443 -CAfile /etc/kubernetes/pki/ca.crt -verify_return_error </dev/null 2>&1 | grep 'Verify return code: 0 '",
        )],
    ),
    row(
        "a certificate with fewer names, of the right authority and for the right key",
        &[(
            "attic",
            "cd /tmp; pki=/etc/kubernetes/pki/etcd; printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=serverAuth,clientAuth\\n' >names
openssl req -new -key $pki/server.key -subj /CN=attic -out csr
openssl x509 -req -in csr -CA $pki/ca.crt -CAkey $pki/ca.key -days 365 -extfile names -out crt 2>/dev/null
cat crt >$pki/server.crt; rm names csr crt",
        )],
        &["attic update certificate:/etc/kubernetes/pki/etcd/server.crt", "attic restart unit:etcd.service"],
        &[("attic", "openssl x509 -in /etc/kubernetes/pki/etcd/server.crt -noout -ext subjectAltName | grep 10.77.0.")],
    ),
    row(
        "a certificate deleted",
        &[("attic", "rm /etc/kubernetes/pki/front-proxy-client.crt")],
        &["attic create certificate:/etc/kubernetes/pki/front-proxy-client.crt", "attic restart unit:kube-apiserver.service"],
        &[("attic", "openssl verify -CAfile /etc/kubernetes/pki/front-proxy-ca.crt /etc/kubernetes/pki/front-proxy-client.crt")],
    ),
    row(
        "a private key swapped",
        &[("attic", "openssl ecparam -name prime256v1 -genkey -noout -out /etc/kubernetes/pki/apiserver-kubelet-client.key")],
        &["attic update file:/etc/kubernetes/pki/apiserver-kubelet-client.key", "attic restart unit:kube-apiserver.service"],
        &[(
            "attic",
            "cd /etc/kubernetes/pki; [ \"$(openssl x509 -in apiserver-kubelet-client.crt -noout -pubkey)\" = \"$(openssl pkey -in apiserver-kubelet-client.key -pubout)\" ]",
        )],
    ),
    row(
        "a control plane's kubeconfig edited",
        &[("attic", "sed -i 's/10.77.0.1:6443/192.0.2.1:6443/' /etc/kubernetes/scheduler.conf")],
        &["attic update certificate:/etc/kubernetes/scheduler.conf", "attic restart unit:kube-scheduler.service"],
        &[("attic", "k --kubeconfig /etc/kubernetes/scheduler.conf get nodes")],
    ),
    Row {
        what: "the authority's own certificate replaced on a worker",
        by_hand: &[(
            "cellar",
            "openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -subj /CN=other -days 30 -out /etc/kubernetes/pki/ca.crt 2>/dev/null",
        )],
        due: &[
            "cellar update file:/etc/kubernetes/pki/ca.crt",
            "cellar restart unit:homectl-api-proxy.service",
            "cellar restart unit:kubelet.service",
            "cellar restart unit:kube-proxy.service",
            "cellar restart unit:kube-router.service",
            // Judged by the authority that is there.
            "cellar run certificate:/var/lib/kubelet/pki/kubelet-client-current.pem",
        ],
        held: &["cellar run certificate:/var/lib/kubelet/pki/kubelet-client-current.pem"],
        proof: &[("attic", "k get --raw /api/v1/nodes/cellar/proxy/healthz")],
    },
    row(
        "a kubelet's own certificate deleted",
        &[("garage", "rm /var/lib/kubelet/pki/kubelet-client-current.pem")],
        &[
            "garage run certificate:/var/lib/kubelet/pki/kubelet-client-current.pem",
            "garage restart unit:kubelet.service",
            "garage restart unit:kube-proxy.service",
            "garage restart unit:kube-router.service",
        ],
        &[("garage", "openssl x509 -in /var/lib/kubelet/pki/kubelet-client-current.pem -noout -subject | grep system:node:garage")],
    ),
];
