# What the machines reach on the network besides each other: a registry (.2:5000) and the mirror over http (.3:8080).
# shellcheck shell=bash

REGISTRY_PROGRAM=registry-v3.1.2/registry

# A root with nothing but busybox; the programs and their data are mounted.
services_image() {
  local root
  need busybox=busybox-static
  TOOLS_IMAGE=homectl-lab:tools-$(key <"$(command -v busybox)")
  docker image inspect "$TOOLS_IMAGE" >/dev/null 2>&1 && return 0
  root=$(mktemp -d -p "$CACHE")
  busybox_root "$root"
  tar c -C "$root" --owner=0 --group=0 . | docker import - "$TOOLS_IMAGE" >/dev/null
  rm -rf "$root"
}

busybox_root() {
  local name
  mkdir -p "$1"/{bin,etc,tmp,var,run}
  chmod 1777 "$1/tmp"
  cp "$(command -v busybox)" "$1/bin/busybox"
  while read -r name; do
    [ "$name" = busybox ] || ln -sf busybox "$1/bin/$name"
  done < <("$1/bin/busybox" --list)
  printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$1/etc/passwd"
}

# service NAME ADDRESS OPTIONS…: a small container with a fixed address, unless it is there.
service_up() {
  local name=$LAB_NAME-$1 address=$PREFIX.$2
  shift 2
  case $(docker inspect -f '{{.State.Running}}' "$name" 2>/dev/null) in
    true) return 0 ;;
    false) docker rm -fv "$name" >/dev/null ;;
  esac
  docker run -d --name "$name" --hostname "$name" --label "$LABEL=$LAB_NAME" --label homectl.lab.role=service \
    --network "$LAB_NAME" --ip "$address" --init=false "$@" >/dev/null
}

has_registry() { [ -n "$BIN" ] && [ -x "$BIN/$REGISTRY_PROGRAM" ]; }

services_up() {
  local data
  services_image
  service_up mirror 3 -v "$(readlink -f "$MIRROR"):/mirror:ro" "$TOOLS_IMAGE" /bin/busybox httpd -f -p 8080 -h /mirror
  has_registry || {
    say "no registry program among the artifacts: machines pull images from their own registries"
    return 0
  }
  data=$CACHE/registry/$(images_key)
  mkdir -p "$data"
  service_up registry 2 -v "$BIN/${REGISTRY_PROGRAM%/*}:/opt/registry:ro" -v "$data:/var/lib/registry" \
    -e OTEL_TRACES_EXPORTER=none -e REGISTRY_HTTP_ADDR=:5000 -e REGISTRY_LOG_LEVEL=warn -e REGISTRY_LOG_ACCESSLOG_DISABLED=true \
    -v "$LAB_HOME/image/registry.yml:/etc/registry.yml:ro" "$TOOLS_IMAGE" /opt/registry/registry serve /etc/registry.yml
  wait_for 30 "the registry at $PREFIX.2:5000" curl -fs -o /dev/null "http://$PREFIX.2:5000/v2/"
  [ -f "$data/.complete" ] || images_push "$PREFIX.2:5000" "$data"
}

images_key() { { find "$BIN" -type f -printf '%P %s %T@\n' | sort; cat "$LAB_HOME"/lib/{services,oci}.sh "$LAB_HOME/image/pause.c"; } | key; }

# The images of the add-ons, under upstream's names less the registry's.
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
  root=$work/busybox
  busybox_root "$root"
  oci_push "$registry" busybox:1.36 "$root" /bin/sh ''         # registry.k8s.io/busybox
  oci_push "$registry" library/busybox:1.36 "$root" /bin/sh '' # docker.io's short name
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
