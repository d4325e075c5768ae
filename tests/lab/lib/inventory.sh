# The running topology's inventory: the checked-in one with this lab's addresses, key, mirror and host keys in it.
# shellcheck shell=bash

inventory_write() {
  local topology=$1 from=$REPO/inventories/lab-$1.toml mirror=file://$MIRROR
  [ -f "$from" ] || {
    say "there is no inventories/lab-$topology.toml: no inventory written"
    return 0
  }
  [ "$LAB_MIRROR" = file ] || mirror=http://$PREFIX.3:8080
  sed "s/\b198\.18\.0\./$PREFIX./g" "$from" |
    awk -v identity="$STATE/id_ed25519" -v mirror="$mirror" -v registry="$(has_registry && echo yes)" -v pins="$STATE/pins" -v users="$(node_users)" '
      BEGIN { n = split(users, list, " "); for (i = 1; i <= n; i++) { split(list[i], pair, "="); user[pair[1]] = pair[2] } }
      /^\[/ { section = $0; skip = (section ~ /^\[registries\./ && registry != "yes") }
      skip { next }
      section == "[ssh]" && /^identity *=/ { print "identity = \"" identity "\""; next }
      section == "[artifacts]" && /^mirror *=/ { print "mirror = \"" mirror "\""; next }
      section == "[[node]]" && /^name *=/ { name = $3; gsub(/"/, "", name) }
      { print }
      section == "[[node]]" && /^address *=/ {
        if ((getline pin < (pins "/" name)) > 0) print "host-key = \"" pin "\""
        if (user[name] != "" && user[name] != "admin") print "user = \"" user[name] "\""
      }' >"$STATE/inventory.toml.new"
  mv "$STATE/inventory.toml.new" "$STATE/inventory.toml"
  say "the inventory is $STATE/inventory.toml"
}

node_users() {
  local node
  for node in "${NODES[@]}"; do printf '%s=%s ' "$node" "${NODE["$node user"]%%,*}"; done
}

lab_inventory() {
  check_settings
  [ -f "$STATE/inventory.toml" ] || die "the lab '$LAB_NAME' has no inventory" "'lab up' first"
  echo "$STATE/inventory.toml"
}
