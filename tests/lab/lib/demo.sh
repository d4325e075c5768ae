# The whole story in one command.
# shellcheck shell=bash

lab_demo() {
  local inventory homectl kubectl
  lab_up three
  inventory=$STATE/inventory.toml
  say "building homectl"
  (cd "$REPO" && cargo build)
  homectl=$(cd "$REPO" && cargo metadata --format-version 1 --no-deps | jq -r .target_directory)/debug/homectl
  "$homectl" apply "$inventory" --yes
  "$homectl" kubeconfig "$inventory" >"$STATE/kubeconfig"
  chmod 600 "$STATE/kubeconfig"
  kubectl=$(lab_kubectl)
  export KUBECONFIG=$STATE/kubeconfig
  "$kubectl" get nodes -o wide
  "$kubectl" get pods -A
  cat >&2 <<NEXT

The cluster runs. Go on with:
  export KUBECONFIG=$STATE/kubeconfig
  $kubectl get nodes
  $homectl plan $inventory        # No changes.
  $LAB_HOME/lab sh cellar         # look around in a machine
  $LAB_HOME/lab kill cellar       # pull its plug; then: start cellar
Remove everything:
  $LAB_HOME/lab down
NEXT
}

# The newest kubectl of the mirror.
lab_kubectl() {
  local file
  file=$(find -L "$MIRROR/dl.k8s.io/release" -name kubectl | sort -V | tail -n 1)
  [ -x "$file" ] || chmod +x "$file"
  echo "$file"
}
