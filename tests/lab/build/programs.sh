#!/usr/bin/env bash
# programs.sh DIR [NAME…]: builds the programs of a cluster from their Go modules into DIR/NAME-VERSION (Kubernetes: DIR/VERSION).
# Without names, everything that `components` lists; what is there is kept. It takes about half an hour on two cores.
set -euo pipefail

out=$1
shift
mkdir -p "$out"
out=$(readlink -f "$out")
arch=amd64

# NAME-VERSION  MODULE  VERSION  SUM of the module, which in turn pins its dependencies by its own go.sum
components() {
  cat <<'LIST'
runc-v1.4.3 github.com/opencontainers/runc v1.4.3 h1:/bq84roxG30xEICkFodXzMEVQFs7kzo4lCiZME1uKxI=
containerd-v2.3.7 github.com/containerd/containerd/v2 v2.3.7 h1:7PGbgAVKE4ieQjFPv7+kwAv7f9dCtRpExZwjExHD/Fk=
etcd-v3.6.16 go.etcd.io/etcd/server/v3 v3.6.16 h1:sLkpvz3RFtiNd/yPrZBKz5kT+XO1ZJkhmuUJeqc7OmA=
etcd-v3.6.16 go.etcd.io/etcd/etcdctl/v3 v3.6.16 h1:vxr4EySgAbHcd5OiYI/IwRnQmC4y5OmusSPLYxQ84/I=
etcd-v3.6.16 go.etcd.io/etcd/etcdutl/v3 v3.6.16 h1:ghP1wTi/25g43jlrhOmPz0X4D0dXAYBt+nbhYicHcJ0=
cni-v1.9.1 github.com/containernetworking/plugins v1.9.1 h1:8oU6WsIsU3bpnNZuvHp74a6cE1MJwbj2P7s4/yTUNlA=
coredns-v1.14.7 github.com/coredns/coredns v1.14.7 h1:UPDkn4QN+xyNfjz3U5ldgoLszDYpMZEJoy3+ze9au4Q=
registry-v3.1.2 github.com/distribution/distribution/v3 v3.1.2 h1:/Bv2YIqqSR00HiO49FT93hovy6r9IlrzwUDsJjCN5qg=
helm-v4.3.1 helm.sh/helm/v4 v4.3.1 h1:UndCoLe9UPmNoL7IvWzaUXveL7T5t/ijoorEmgJdI9g=
metrics-server-v0.9.0 sigs.k8s.io/metrics-server v0.9.0 h1:nlqqZ2H0Xfko8eJC/1qaNVVT17hu4rxndkOi22KTZ4w=
local-path-v0.0.30 github.com/rancher/local-path-provisioner v0.0.30 h1:OkiuofkCSscddl7tma/B9Ox1wu+JEVSrP7IcZI65Ggo=
v1.36.3 k8s.io/kubernetes v1.36.3 h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o=
LIST
}

# Built only when asked for: what clusters are upgraded from.
older() {
  cat <<'LIST'
v1.35.4 k8s.io/kubernetes v1.35.4 h1:o/8dBC/pHVpYoGV4OAIytAlNPZbdYVTXJHoYvXC4qzM=
etcd-v3.6.8 go.etcd.io/etcd/server/v3 v3.6.8 h1:U2strdSEy1U8qcSzRIdkYpvOPtBy/9i/IfaaCI9flZ4=
etcd-v3.6.8 go.etcd.io/etcd/etcdctl/v3 v3.6.8 h1:iO3zX9xuY/X2Y+fnt6mUR7o/18iBGYpd/lhs/4FqHCc=
etcd-v3.6.8 go.etcd.io/etcd/etcdutl/v3 v3.6.8 h1:5YolVcLplhVwSR7IXemN7kBpx/L4qHAmyNc+iW+PL/k=
LIST
}

# The programs of a module, as folders below its root: PACKAGE[:NAME].
packages() {
  case $1 in
    github.com/opencontainers/runc) echo .:runc ;;
    github.com/containerd/containerd/v2) echo cmd/containerd cmd/containerd-shim-runc-v2 cmd/ctr ;;
    go.etcd.io/etcd/server/v3) echo .:etcd ;;
    go.etcd.io/etcd/etcdctl/v3) echo .:etcdctl ;;
    go.etcd.io/etcd/etcdutl/v3) echo .:etcdutl ;;
    github.com/containernetworking/plugins)
      echo plugins/main/{bridge,loopback,host-device} plugins/ipam/host-local plugins/meta/{portmap,firewall,bandwidth,tuning}
      ;;
    github.com/coredns/coredns) echo .:coredns ;;
    github.com/distribution/distribution/v3) echo cmd/registry ;;
    helm.sh/helm/v4) echo cmd/helm ;;
    sigs.k8s.io/metrics-server) echo cmd/metrics-server ;;
    github.com/rancher/local-path-provisioner) echo .:local-path-provisioner ;;
    k8s.io/kubernetes) echo cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kubelet cmd/kube-proxy cmd/kubectl ;;
  esac
}

# build NAME MODULE VERSION SUM
build() {
  local name=$1 module=$2 version=$3 sum=$4 info dir work package cgo=0 tags='' flags='-s -w' minor
  work=$(mktemp -d)
  info=$(cd "$work" && go mod download -json "$module@$version")
  [ "$(jq -r .Sum <<<"$info")" = "$sum" ] || {
    echo "error: $module@$version is $(jq -r .Sum <<<"$info"), pinned is $sum" >&2
    exit 1
  }
  dir=$(jq -r .Dir <<<"$info")
  # The module is built as its authors build it, with its own go.mod and go.sum; only neighbours in their repository come as modules too.
  sed '/=> \.\.\{0,1\}\//d' "$dir/go.mod" >"$work/go.mod"
  cat "$dir/go.sum" >"$work/go.sum"
  case $module in
    k8s.io/kubernetes)
      minor=${version#v1.}
      while read -r package; do
        (cd "$work" && go mod edit -replace "$package=$package@v0.$minor" go.mod)
      done < <(awk '$1 ~ /^k8s\.io\// && $2 == "v0.0.0" {print $1}' "$work/go.mod")
      for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*} -X $package.gitTreeState=clean"
      done
      ;;
    github.com/opencontainers/runc)
      cgo=1 tags='seccomp netgo osusergo' flags+=" -extldflags -static -X main.version=${version#v}"
      ;;
    github.com/containerd/containerd/v2)
      tags='no_btrfs no_devmapper no_zfs' flags+=" -X $module/version.Version=$version"
      ;;
  esac
  mkdir -p "$out/$name"
  for package in $(packages "$module"); do
    echo "building ${package##*[:/]} of $module $version" >&2
    (cd "$dir" && GOWORK=off GOOS=linux GOARCH=$arch CGO_ENABLED=$cgo go build -mod=mod -modfile="$work/go.mod" -buildvcs=false -trimpath \
      -tags "$tags" -ldflags "$flags" -o "$out/$name/.new" "./${package%%:*}")
    mv "$out/$name/.new" "$out/$name/${package##*[:/]}"
  done
  rm -rf "$work"
}

# missing NAME MODULE: is any of the module's programs not there yet?
missing() {
  local package
  for package in $(packages "$2"); do
    [ -x "$out/$1/${package##*[:/]}" ] || return 0
  done
  return 1
}

command -v go >/dev/null || {
  echo 'error: the programs must be built here, and there is no Go' >&2
  echo 'help: install Go, or put the prepared archives into ../shared/lab/artifacts' >&2
  exit 1
}

[ $# -gt 0 ] || mapfile -t names < <(components | cut -d' ' -f1 | sort -u)
[ $# = 0 ] || names=("$@")
for name in "${names[@]}"; do
  found=
  while read -r component module version sum; do
    [ "$component" = "$name" ] || continue
    found=1
    ! missing "$name" "$module" || build "$name" "$module" "$version" "$sum"
  done < <(components; older)
  [ -n "$found" ] || {
    echo "error: nothing is known of $name; known are: $({ components; older; } | cut -d' ' -f1 | sort -u | tr '\n' ' ')" >&2
    exit 1
  }
done
