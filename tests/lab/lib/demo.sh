# The whole story in one command.
# shellcheck shell=bash

lab_demo() {
  local inventory homectl kubectl lab=$LAB_HOME/lab begun=$SECONDS
  check_settings
  need_rust
  lab_up three
  inventory=$STATE/inventory.toml
  build_homectl
  homectl=$CARGO_TARGET_DIR/debug/homectl
  kubectl=$(lab_kubectl)
  export KUBECONFIG=$STATE/kubeconfig

  shown "$homectl" apply "$inventory" --yes
  shown "$homectl" plan "$inventory"
  shown "$homectl" kubeconfig "$inventory" --out "$KUBECONFIG"
  shown "$kubectl" get nodes -o wide
  shown "$kubectl" get pods -A

  [ "$LAB_NAME" = homectl ] || lab="LAB_NAME=$LAB_NAME $lab"
  [ "$LAB_SUBNET" = 198.18.0.0/24 ] || lab="LAB_SUBNET=$LAB_SUBNET $lab"
  cat >&2 <<NEXT

The cluster runs ($((SECONDS - begun)) s from nothing). Go on with:
  export KUBECONFIG=$KUBECONFIG
  alias kubectl=$kubectl homectl=$homectl
  kubectl get nodes
  homectl status $inventory
  $lab sh cellar      # look around in a machine
  $lab kill cellar    # pull its plug; then: start cellar
Change $inventory, and see what \`homectl plan\` makes of it.
Remove everything:
  $lab down
NEXT
}

# Builds are kept outside the checkout, so that a second clone is quick. Cargo tells sources apart by their age, not by their
# checkout: what another one built here is built anew.
build_homectl() {
  local last
  if [ -z "${CARGO_TARGET_DIR:-}" ]; then
    export CARGO_TARGET_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/homectl/target
    last=$CARGO_TARGET_DIR/.homectl-checkout
    mkdir -p "$CARGO_TARGET_DIR"
    [ "$(cat "$last" 2>/dev/null)" = "$REPO" ] || (cd "$REPO" && cargo clean --quiet -p homectl)
    echo "$REPO" >"$last"
  fi
  say "building homectl in $CARGO_TARGET_DIR"
  (cd "$REPO" && cargo build --locked --bin homectl)
}

# shown COMMAND…: as somebody would type it, then what it says.
shown() {
  printf '\n$ %s\n' "${1##*/} ${*:2}" >&2
  "$@"
}

# Only rustup has a Rust that is new enough on every Debian; what it does to an account is not the lab's to decide.
need_rust() {
  local wants has
  wants=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPO/Cargo.toml")
  need cc=gcc
  has=$(cargo --version 2>/dev/null | cut -d' ' -f2 || true)
  [ "$(printf '%s\n' "$wants" "${has:-0}" | sort -V | head -n 1)" = "$wants" ] ||
    die "homectl is built with Rust $wants or newer; here is ${has:-none}" "https://rustup.rs installs it: rustup toolchain install stable"
}

# The newest kubectl of the mirror.
lab_kubectl() {
  local file
  file=$(find -L "$MIRROR/dl.k8s.io/release" -name kubectl | sort -V | tail -n 1)
  [ -x "$file" ] || chmod +x "$file"
  echo "$file"
}
