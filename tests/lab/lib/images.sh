# The images of the add-ons, under upstream's names less the registry's.
# shellcheck shell=bash

images_key() { { echo "$TOOLS_IMAGE"; find "$BIN" -type f -printf '%P %s %T@\n' | sort; cat "$LAB_HOME"/lib/{images,oci}.sh "$LAB_HOME/image/pause.c"; } | key; }

images_push() {
  local registry=$1 data=$2 work root
  say "putting the add-ons' images into the registry (once)"
  need gcc=gcc jq=jq
  [ -e /usr/include/stdio.h ] || need stdio.h=libc6-dev
  work=$(mktemp -d -p "$CACHE")
  root=$work/pause
  mkdir -p "$root"
  gcc -Os -static -s -o "$root/pause" "$LAB_HOME/image/pause.c"
  oci_push "$registry" pause:3.10.1 "$root" /pause 65535:65535
  program_image "$registry" coredns/coredns:v1.14.7 coredns-v1.14.7/coredns /coredns 65532:65532
  program_image "$registry" metrics-server/metrics-server:v0.9.0 metrics-server-v0.9.0/metrics-server /metrics-server 65534
  program_image "$registry" rancher/local-path-provisioner:v0.0.30 local-path-v0.0.30/local-path-provisioner /usr/bin/local-path-provisioner ''
  oci_push "$registry" busybox:1.36 "$BUSYBOX" /bin/sh ''         # registry.k8s.io/busybox
  oci_push "$registry" library/busybox:1.36 "$BUSYBOX" /bin/sh '' # docker.io's short name
  rm -rf "$work"
  as_root touch "$data/.complete"
}

# program_image REGISTRY NAME:TAG PROGRAM PATH USER
program_image() {
  local root=$work/program
  [ -f "$BIN/$3" ] || {
    say "no $3 among the artifacts: no image $2"
    return 0
  }
  rm -rf "$root"
  mkdir -p "$root/etc/ssl/certs" "$root/tmp"
  chmod 1777 "$root/tmp"
  printf 'root:x:0:0::/:/\nnonroot:x:65532:65532::/:/\nnobody:x:65534:65534::/:/\n' >"$root/etc/passwd"
  [ ! -f /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  install -D -m755 "$BIN/$3" "$root$4"
  oci_push "$1" "$2" "$root" "$4" "$5"
}
