# The machines themselves: on, off, hung, cut off; and the commands that speak of them.
# shellcheck shell=bash

container() { echo "$LAB_NAME-$1"; }

# machine_up NODE: makes it, or switches it on when it exists.
machine_up() {
  local node=$1 name options=() small via=
  name=$(container "$node")
  case $(docker inspect -f '{{.State.Status}}' "$name" 2>/dev/null || true) in
    running) return 0 ;;
    paused)
      docker unpause "$name" >/dev/null
      return
      ;;
    ?*)
      docker start "$name" >/dev/null
      return
      ;;
  esac
  # Real file systems where overlayfs would lie on overlayfs, or where a database lives; small ones where the topology says so.
  for small in /var/lib /opt; do
    [[ " ${NODE["$node tmpfs"]:-} " == *" $small:"* ]] || options+=(-v "$small")
  done
  for small in ${NODE["$node tmpfs"]:-}; do
    options+=(--tmpfs "${small%:*}:exec,suid,dev,mode=755,size=${small##*:}")
  done
  [ ! -d /lib/modules ] || options+=(-v /lib/modules:/lib/modules:ro)
  [ -z "${NODE["$node memory"]:-}" ] || options+=(--memory "${NODE["$node memory"]}")
  [ -z "${NODE["$node via"]:-}" ] || via=$PREFIX.${NODE["$node via"]}
  apt_cache "$node"
  docker run -d --name "$name" --hostname "${NODE["$node hostname"]}" --label "$LABEL=$LAB_NAME" --label homectl.lab.role=node --label "homectl.lab.node=$node" \
    "${RIGHTS[@]}" --cgroupns=private --stop-signal SIGRTMIN+3 \
    --network "$(network_name "${NODE["$node net"]:-${NETS[0]}}")" --ip "${NODE["$node address"]}" \
    --tmpfs /run:mode=755 --tmpfs /run/lock --tmpfs /tmp:exec,mode=1777 "${options[@]}" \
    -v "$CACHE/apt/$LAB_NAME-$node:/var/cache/apt/archives" -v "$STATE/init:/lab-init:ro" \
    -e "LAB_HOSTNAME=${NODE["$node hostname"]}" -e "LAB_USERS=${NODE["$node user"]//,/ }" -e "LAB_KEY=$(cat "$STATE/id_ed25519.pub")" -e "LAB_GATEWAY=$via" \
    "$IMAGE" /lab-init >/dev/null
}

# Packages that any machine has fetched before come from the disk. A folder for each, since apt locks its own; the files are shared.
apt_cache() {
  local dir=$CACHE/apt/$LAB_NAME-$1
  mkdir -p "$dir"
  find "$CACHE/apt" -name '*.deb' ! -path '*/partial/*' ! -path "$dir/*" -exec ln -f -t "$dir" {} + 2>/dev/null || true
}

# machine_ready NODE: waits for systemd, prints what it says of itself.
machine_ready() {
  # shellcheck disable=SC2016
  timeout 90 "${DOCKER[@]}" exec "$(container "$1")" sh -c '
    while :; do
      state=$(systemctl is-system-running --wait 2>/dev/null)
      case $state in running | degraded) echo "$state"; exit ;; esac
      sleep 0.1
    done' 2>/dev/null || true
}

# In the background, one for each machine: leaves the pin of its host key in the state folder.
machine_prepare() {
  local node=$1 state
  machine_up "$node" || return 1
  state=$(machine_ready "$node")
  if [ "$state" != running ]; then
    say "$node: systemd is '${state:-not up}':"
    docker exec "$(container "$node")" systemctl --failed --no-legend --plain >&2 || docker logs --tail 20 "$(container "$node")" >&2 || true
    return 1
  fi
  docker exec "$(container "$node")" ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | awk '{print $2}' >"$STATE/pins/$node"
  say "$node is up at ${NODE["$node address"]}"
}

lab_up() {
  check_settings
  [ "$(uname -m)" = x86_64 ] || die "this machine is $(uname -m): the lab's programs are for x86_64"
  local topology=${1:-three}
  topology_read "$topology"
  with_lock "lab-$LAB_NAME" up_locked "$topology"
}

up_locked() {
  local topology=$1 node jobs=() job failed=
  if [ -f "$STATE/topology" ] && [ "$(cat "$STATE/topology")" != "$topology $LAB_SUBNET" ]; then
    die "the lab '$LAB_NAME' is up as: $(cat "$STATE/topology")" "'lab down' first, or another LAB_NAME with another LAB_SUBNET"
  fi
  need curl=curl jq=jq ssh-keygen=openssh-client ip=iproute2
  with_lock cache prepare
  mkdir -p "$STATE/pins"
  echo "$topology $LAB_SUBNET" >"$STATE/topology"
  # Machines start from copies, so that they can be started again whatever has become of the work tree.
  install -m755 "$LAB_HOME/image/init" "$STATE/init"
  install -m644 "$LAB_HOME/image/registry.yml" "$STATE/registry.yml"
  [ -f "$STATE/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C "lab $LAB_NAME" -f "$STATE/id_ed25519"
  networks_up
  services_image
  routers_up
  for node in "${NODES[@]}"; do
    machine_prepare "$node" &
    jobs+=($!)
  done
  with_lock cache services_up
  for job in "${jobs[@]}"; do wait "$job" || failed=1; done
  [ -z "$failed" ] || die "not every machine came up" "look with 'lab status' and 'lab sh NODE journalctl -b'; 'lab down' removes all"
  inventory_write "${topology##*/}"
}

# What all labs of this machine share.
prepare() {
  engine_up
  mkdir -p "$CACHE/engine"
  sysctls_save
  image_up
  busybox_up
  engine_rights "$IMAGE"
  mirror_up
}

lab_down() {
  check_settings
  with_lock "lab-$LAB_NAME" with_lock cache down_locked
}

down_locked() {
  local ids
  # An engine that died, or a machine that lost power, leaves containers that only an engine can remove.
  engine_reach || [ -z "$(as_root ls -A "$CACHE/engine/data/containers" 2>/dev/null)" ] || engine_up
  if engine_reach; then
    ids=$(docker ps -q --filter "label=$LABEL=$LAB_NAME" --filter status=paused)
    # shellcheck disable=SC2086
    [ -z "$ids" ] || docker unpause $ids >/dev/null
    ids=$(docker ps -aq --filter "label=$LABEL=$LAB_NAME")
    # shellcheck disable=SC2086
    [ -z "$ids" ] || docker rm -fv $ids >/dev/null
    ids=$(docker network ls -q --filter "label=$LABEL=$LAB_NAME")
    # shellcheck disable=SC2086
    [ -z "$ids" ] || docker network rm $ids >/dev/null
    routers_down
    if ! labs_left; then
      sysctls_restore
      cache_prune
      engine_down
    fi
  else
    say "no container engine answers: nothing of the lab runs"
    sysctls_restore
  fi
  rm -rf "$STATE"
}

# Are there machines of other labs, or another `up` at work that has none yet?
labs_left() {
  local lock
  [ -z "$(docker ps -aq --filter "label=$LABEL")" ] || return 0
  for lock in "$CACHE"/.lock-lab-*; do
    [ "$lock" != "$CACHE/.lock-lab-$LAB_NAME" ] || continue
    flock -n "$lock" true || return 0
  done
  return 1
}

# The last lab takes what newer things have replaced. Nothing is in use then.
cache_prune() {
  local image
  find "$CACHE/registry" -mindepth 1 -maxdepth 1 -printf '%T@ %p\n' 2>/dev/null | sort -rn | tail -n +2 | cut -d' ' -f2- | while read -r image; do as_root rm -rf "$image"; done
  for image in $(docker image ls --filter reference=homectl-lab --format '{{.Tag}}'); do
    [ "$image" = "${image#tools-}" ] || continue
    [ "$image" = "$LAB_SUITE-$(image_key)" ] || [ "${image%%-*}" != "$LAB_SUITE" ] || {
      docker image rm "homectl-lab:$image" >/dev/null
      as_root rm -f "$CACHE/images/$image".*
    }
  done
}

# For commands that need a running lab.
attach() {
  check_settings
  engine_reach || die "no container engine answers" "'lab up' first"
  [ -f "$STATE/topology" ] || die "the lab '$LAB_NAME' is not up" "'lab up' first"
}

attach_node() {
  docker inspect "$(container "$1")" >/dev/null 2>&1 || die "no machine '$1' in the lab '$LAB_NAME'" "'lab status' lists them"
}

lab_status() {
  attach
  printf '%-12s %-12s %-15s %-10s %-12s %s\n' MACHINE ID ADDRESS STATE SYSTEMD UPTIME
  for id in $(docker ps -aq --filter "label=$LABEL=$LAB_NAME" --filter label=homectl.lab.role=node); do status_line "$id"; done | sort -t. -k4n
}

status_line() {
  local node state address started systemd=- carrier=1 uptime=-
  IFS='|' read -r node state started address < <(docker inspect -f \
    '{{index .Config.Labels "homectl.lab.node"}}|{{.State.Status}}|{{.State.StartedAt}}|{{range .NetworkSettings.Networks}}{{.IPAMConfig.IPv4Address}}{{end}}' "$1")
  if [ "$state" = running ]; then
    { read -r carrier; read -r systemd; } < <(timeout 5 "${DOCKER[@]}" exec "$1" sh -c 'cat /sys/class/net/eth0/carrier; systemctl is-system-running' 2>/dev/null) || true
    [ "$carrier" != 0 ] || state=unplugged
  fi
  [ "$state" = exited ] || uptime=$(($(date +%s) - $(date -d "$started" +%s)))s
  printf '%-12s %-12s %-15s %-10s %-12s %s\n' "$node" "$1" "$address" "$state" "${systemd:--}" "$uptime"
}

# As root, from the machine's own console so to speak: also when sshd or the network is gone.
lab_shell() {
  local node=${1:-} tty=()
  [ -n "$node" ] || die "sh: which machine?" "lab sh NODE [CMD…]"
  shift
  attach
  attach_node "$node"
  if [ -t 0 ] && [ -t 1 ]; then tty=(-it -e "TERM=${TERM:-dumb}"); elif [ ! -t 0 ]; then tty=(-i); fi
  [ $# -gt 0 ] || set -- bash -l
  exec "${DOCKER[@]}" exec "${tty[@]}" -w /root "$(container "$node")" "$@"
}

lab_each() {
  local verb=$1 node
  shift
  [ $# -gt 0 ] || die "$verb: which machine?" "lab $verb NODE…"
  attach
  topology_read "$(cut -d' ' -f1 "$STATE/topology")"
  for node; do attach_node "$node"; done
  for node; do "machine_$verb" "$node" "$(container "$node")"; done
}

machine_kill() { docker kill "$2" >/dev/null; }
machine_start() { docker start "$2" >/dev/null; }
machine_pause() { docker pause "$2" >/dev/null; }
machine_unpause() { docker unpause "$2" >/dev/null; }

# A cable has two ends: the one outside of the machine goes down, and inside the carrier is gone. Addresses and routes stay, as they do at home.
# A machine that is killed and started again has its cable in.
machine_cable() {
  local index
  index=$(docker exec "$2" cat /sys/class/net/eth0/iflink) || die "$1 is not running" "'lab start $1' first"
  as_root ip link set dev "$(ip -o link | awk -F': ' -v i="$index" '$1 == i {sub(/@.*/, "", $2); print $2}')" "$3"
}
machine_unplug() { machine_cable "$1" "$2" down; }
# Its address stays, as a router gives it to the same card.
machine_wipe() {
  docker rm -fv "$2" >/dev/null
  image_up
  engine_rights "$IMAGE"
  machine_prepare "$1"
  inventory_write "$(basename "$(cut -d' ' -f1 "$STATE/topology")")"
}
machine_plug() { machine_cable "$1" "$2" up; }
machine_wait() {
  local state
  state=$(machine_ready "$1")
  [ -n "$state" ] || die "$1 did not come up within 90 s" "lab sh $1 journalctl -b"
  say "$1: $state"
}
