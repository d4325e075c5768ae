# What the machines reach on the network besides each other: a registry (.2:5000) and the mirror over http (.3:8080).
# shellcheck shell=bash

REGISTRY_PROGRAM='registry-v3.1.2/registry'

# Busybox with the C library it needs, on its own. The package is unpacked, not installed: busybox and busybox-static exclude each other,
# and which of them this machine has is not the lab's affair.
busybox_up() {
  BUSYBOX=$CACHE/bin/busybox
  [ ! -f "$BUSYBOX/.complete" ] || return 0
  local work file download=(apt-get -qq -o APT::Sandbox::User=root download busybox)
  need ldd=libc-bin dpkg-deb=dpkg
  say "fetching busybox (once)"
  work=$(mktemp -d -p "$CACHE")
  (cd "$work" && { "${download[@]}" || { as_root apt-get -qq update && "${download[@]}"; }; } >&2) ||
    die "apt-get could not fetch busybox" "see its message above"
  dpkg-deb -x "$work"/busybox_*.deb "$work/package"
  rm -rf "$BUSYBOX"
  mkdir -p "$BUSYBOX"/{bin,etc,tmp,var,run}
  chmod 1777 "$BUSYBOX/tmp"
  find "$work/package" -type f -name busybox -perm -100 -exec install -m755 {} "$BUSYBOX/bin/busybox" \;
  while read -r file; do install -D -m755 "$file" "$BUSYBOX$file"; done < <(ldd "$BUSYBOX/bin/busybox" | grep -o '/[^ ]*')
  printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$BUSYBOX/etc/passwd"
  while read -r file; do
    [ "$file" = busybox ] || ln -sf busybox "$BUSYBOX/bin/$file"
  done < <("$BUSYBOX/bin/busybox" --list)
  rm -rf "$work"
  touch "$BUSYBOX/.complete"
}

# A root with nothing but busybox; the programs and their data are mounted.
services_image() {
  TOOLS_IMAGE=homectl-lab:tools-$(find "$BUSYBOX" -type f -print0 | sort -z | xargs -0 cat | key)
  docker image inspect "$TOOLS_IMAGE" >/dev/null 2>&1 ||
    tar c -C "$BUSYBOX" --owner=0 --group=0 . | docker import - "$TOOLS_IMAGE" >/dev/null
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
