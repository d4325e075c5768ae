# What the machines reach on the network besides each other: a registry (.2:5000) and the mirror over http (.3:8080).
# shellcheck shell=bash

REGISTRY_PROGRAM='registry-v3.1.2/registry'

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
  case $(docker inspect -f '{{.State.Running}}' "$name" 2>/dev/null || true) in
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
  service_up mirror 3 -v "$MIRROR:/mirror:ro" "$TOOLS_IMAGE" /bin/busybox httpd -f -p 8080 -h /mirror
  has_registry || {
    say "no registry program among the artifacts: machines pull images from their own registries"
    return 0
  }
  data=$CACHE/registry/$(images_key)
  mkdir -p "$data"
  service_up registry 2 -v "$BIN/${REGISTRY_PROGRAM%/*}:/opt/registry:ro" -v "$data:/var/lib/registry" \
    -e OTEL_TRACES_EXPORTER=none -e REGISTRY_HTTP_ADDR=:5000 -e REGISTRY_LOG_LEVEL=warn -e REGISTRY_LOG_ACCESSLOG_DISABLED=true \
    -v "$STATE/registry.yml:/etc/registry.yml:ro" "$TOOLS_IMAGE" /opt/registry/registry serve /etc/registry.yml
  wait_for 30 "the registry at $PREFIX.2:5000" curl -fs -o /dev/null "http://$PREFIX.2:5000/v2/"
  [ -f "$data/.complete" ] || images_push "$PREFIX.2:5000" "$data"
}
