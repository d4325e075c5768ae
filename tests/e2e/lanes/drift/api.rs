//! Objects in the API.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "labels and a taint of ours removed from a node",
        &[("attic", "k label node cellar example.net/room- >/dev/null; k taint node cellar example.net/damp- >/dev/null")],
        &["cluster update object:v1:Node:cellar"],
        &[(
            "attic",
            "k get node cellar -o jsonpath='{.metadata.labels}' | grep '\"example.net/room\":\"below\"'
k get node cellar -o jsonpath='{.spec.taints}' | grep '\"effect\":\"PreferNoSchedule\",\"key\":\"example.net/damp\",\"value\":\"yes\"'",
        )],
    ),
    row(
        "a role label removed",
        &[("attic", "k label node attic node-role.kubernetes.io/control-plane- >/dev/null")],
        &["cluster update object:v1:Node:attic"],
        &[("attic", "k get nodes -l node-role.kubernetes.io/control-plane -o name | grep -x node/attic")],
    ),
    row(
        "somebody else's taint and label: they stay",
        &[(
            "attic",
            "k taint node garage example.net/noisy=yes:PreferNoSchedule --overwrite >/dev/null; k label node garage example.net/theirs=yes --overwrite >/dev/null",
        )],
        &[],
        &[("attic", "k get node garage -o jsonpath='{.spec.taints} {.metadata.labels}' | grep noisy | grep theirs")],
    ),
    row(
        "an add-on scaled",
        &[("attic", "k -n kube-system scale deployment metrics-server --replicas=0 >/dev/null")],
        &["cluster update object:apps/v1:Deployment:kube-system/metrics-server"],
        &[("attic", "[ \"$(k -n kube-system get deployment metrics-server -o jsonpath='{.status.readyReplicas}')\" = 1 ]")],
    ),
    row(
        "an argument of an add-on edited",
        &[(
            "attic",
            "k -n local-storage patch deployment local-path-provisioner --type=json -p '[{\"op\": \"add\", \"path\": \"/spec/template/spec/containers/0/command/-\", \"value\": \"--debug\"}]' >/dev/null",
        )],
        &["cluster update object:apps/v1:Deployment:local-storage/local-path-provisioner"],
        &[("attic", "! k -n local-storage get deployment local-path-provisioner -o yaml | grep -e --debug")],
    ),
    row(
        "a label of an object edited, and the one that says that it is ours removed",
        &[
            ("attic", "k -n kube-system label service kube-dns k8s-app=other --overwrite >/dev/null"),
            ("attic", "k -n kube-system label service metrics-server homectl.io/addon- >/dev/null"),
        ],
        &["cluster update object:v1:Service:kube-system/kube-dns", "cluster update object:v1:Service:kube-system/metrics-server"],
        &[("attic", "k -n kube-system get service -l k8s-app=kube-dns -o name | grep -x service/kube-dns")],
    ),
    row(
        "a configuration edited",
        &[("attic", "k -n kube-system patch configmap coredns --type=merge -p '{\"data\": {\"Corefile\": \".:53 {}\"}}' >/dev/null")],
        &["cluster update object:v1:ConfigMap:kube-system/coredns"],
        &[("attic", "k -n kube-system get configmap coredns -o yaml | grep loadbalance")],
    ),
    row(
        "a certificate in a secret replaced",
        &[(
            "attic",
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /dev/null -out /tmp/crt -subj /CN=other -days 30 2>/dev/null
k -n kube-system patch secret metrics-server-serving --type=merge -p \"{\\\"data\\\": {\\\"tls.crt\\\": \\\"$(base64 -w0 </tmp/crt)\\\"}}\" >/dev/null; rm /tmp/crt",
        )],
        &["cluster update object:v1:Secret:kube-system/metrics-server-serving"],
        &[(
            "attic",
            "k -n kube-system get secret metrics-server-serving -o jsonpath='{.data.tls\\.crt}' | base64 -d | openssl verify -CAfile /etc/kubernetes/pki/ca.crt",
        )],
    ),
    row(
        "a namespace's rule for pods loosened",
        &[("attic", "k label namespace local-storage pod-security.kubernetes.io/enforce=restricted --overwrite >/dev/null")],
        &["cluster update object:v1:Namespace:local-storage"],
        &[],
    ),
    row(
        "an aggregated API deleted",
        &[("attic", "k delete apiservice v1beta1.metrics.k8s.io >/dev/null")],
        &["cluster create object:apiregistration.k8s.io/v1:APIService:v1beta1.metrics.k8s.io"],
        &[("attic", "k get apiservice v1beta1.metrics.k8s.io -o jsonpath='{.status.conditions[?(@.type==\"Available\")].status}' | grep True")],
    ),
    row(
        "what no manifest names is somebody else's, in our objects too: it stays",
        &[("attic", "k -n kube-system annotate deployment metrics-server example.net/note=mine --overwrite >/dev/null; k -n kube-system annotate service kube-dns example.net/note=mine --overwrite >/dev/null")],
        &[],
        &[("attic", "k -n kube-system get service kube-dns -o jsonpath='{.metadata.annotations}' | grep example.net/note")],
    ),
    row(
        "an object that keeps pods from going all at once deleted",
        &[("attic", "k -n kube-system delete poddisruptionbudget coredns >/dev/null")],
        &["cluster create object:policy/v1:PodDisruptionBudget:kube-system/coredns"],
        &[],
    ),
    row(
        "a deployment deleted",
        &[("attic", "k -n kube-system delete deployment coredns >/dev/null")],
        &["cluster create object:apps/v1:Deployment:kube-system/coredns"],
        &[("attic", "k -n kube-system rollout status deployment coredns --timeout=5s")],
    ),
    row(
        "a storage class deleted",
        &[("attic", "k delete storageclass local-path >/dev/null")],
        &["cluster create object:storage.k8s.io/v1:StorageClass:local-path"],
        &[("attic", "k get storageclass local-path")],
    ),
    row(
        "rights deleted",
        &[("attic", "k delete clusterrolebinding homectl:kubelet-api-admin homectl:node-proxier >/dev/null")],
        &[
            "cluster create object:rbac.authorization.k8s.io/v1:ClusterRoleBinding:homectl:kubelet-api-admin",
            "cluster create object:rbac.authorization.k8s.io/v1:ClusterRoleBinding:homectl:node-proxier",
        ],
        &[("attic", "k get --raw /api/v1/nodes/garage/proxy/healthz")],
    ),
    row(
        "rights widened",
        &[(
            "attic",
            "k patch clusterrole homectl:csr-approver --type=json -p '[{\"op\": \"add\", \"path\": \"/rules/-\", \"value\": {\"apiGroups\": [\"*\"], \"resources\": [\"*\"], \"verbs\": [\"*\"]}}]' >/dev/null",
        )],
        &["cluster update object:rbac.authorization.k8s.io/v1:ClusterRole:homectl:csr-approver"],
        &[("attic", "[ \"$(k auth can-i delete nodes --as=homectl-approver || :)\" = no ]")],
    ),
    row(
        "a subject added to a binding",
        &[(
            "attic",
            "k patch clusterrolebinding homectl:operators --type=json -p '[{\"op\": \"add\", \"path\": \"/subjects/-\", \"value\": {\"apiGroup\": \"rbac.authorization.k8s.io\", \"kind\": \"User\", \"name\": \"mallory\"}}]' >/dev/null",
        )],
        &["cluster update object:rbac.authorization.k8s.io/v1:ClusterRoleBinding:homectl:operators"],
        &[("attic", "[ \"$(k auth can-i delete nodes --as=mallory || :)\" = no ]")],
    ),
];
