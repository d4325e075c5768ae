# Topologies: small files with one line for each network, router and machine.
# shellcheck shell=bash
#
#   net NAME FIRST/BITS                      a part of the lab's subnet (without any: one network, the whole of it)
#   router NAME NET:HOST NET:HOST [forward=udp:PORT:HOST…]    hides the second network behind its address in the first
#   node NAME HOST [KEY=VALUE…]              HOST is the last number of the address
#     net=NAME       the network, when there are several
#     via=HOST       default route through a router
#     user=NAME      who may log in with the lab's key: admin (default), pw (sudo asks for the password "homectl"), root; several with commas
#     hostname=NAME  the name the machine has before homectl comes (default: debian)
#     tmpfs=DIR:SIZE a small disk, for instance tmpfs=/opt:100m (again for a second one)
#     memory=SIZE    a small machine, for instance memory=512m

# topology_read NAME: fills NETS, ROUTERS and NODES (names in order) and NODE (keys "name key").
topology_read() {
  local file=$LAB_HOME/topologies/$1 line kind name rest word
  [ -f "$file" ] || file=$1
  [ -f "$file" ] || die "no topology '$1'" "there are: $(cd "$LAB_HOME/topologies" && echo *); or give the path of a file"
  NETS=() ROUTERS=() NODES=()
  declare -gA NET=() ROUTER=() NODE=()
  while read -r line; do
    line=${line%%#*}
    read -r kind name rest <<<"$line" || true
    [ -n "$kind" ] || continue
    [[ $name =~ ^[a-z][a-z0-9-]*$ ]] || die "$file: '$name' is no name in: $line"
    case $kind in
      net)
        NETS+=("$name")
        NET[$name]=$PREFIX.$rest
        ;;
      router)
        ROUTERS+=("$name")
        ROUTER[$name]=$rest
        ;;
      node)
        NODES+=("$name")
        read -r word rest <<<"$rest"
        [[ $word =~ ^[0-9]+$ ]] || die "$file: '$word' is no last number of an address in: $line"
        NODE["$name address"]=$PREFIX.$word
        NODE["$name user"]="admin"
        NODE["$name hostname"]=debian
        for word in $rest; do
          case $word in
            tmpfs=*) NODE["$name tmpfs"]+=" ${word#*=}" ;;
            net=* | via=* | user=* | hostname=* | memory=*) NODE["$name ${word%%=*}"]=${word#*=} ;;
            *) die "$file: unknown '$word' in: $line" "lib/topology.sh lists what there is" ;;
          esac
        done
        ;;
      *) die "$file: unknown '$kind' in: $line" "net, router or node" ;;
    esac
  done <"$file"
  [ ${#NODES[@]} -gt 0 ] || die "$file names no machine"
  if [ ${#NETS[@]} = 0 ]; then
    NETS=(lan)
    NET[lan]=$LAB_SUBNET
  fi
}

# The first network has the lab's name, further ones their own behind it.
network_name() {
  if [ "$1" = "${NETS[0]}" ]; then echo "$LAB_NAME"; else echo "$LAB_NAME-$1"; fi
}

# The first address of a network is the machine's around the lab, and the way out.
gateway() {
  local first=${NET[$1]%/*}
  echo "${first%.*}.$((${first##*.} + 1))"
}

networks_up() {
  local net name
  for net in "${NETS[@]}"; do
    name=$(network_name "$net")
    docker network inspect "$name" >/dev/null 2>&1 ||
      docker network create --label "$LABEL=$LAB_NAME" --subnet "${NET[$net]}" --gateway "$(gateway "$net")" "$name" >/dev/null ||
      die "no network ${NET[$net]}" "another lab or network has that range: choose LAB_SUBNET=198.18.N.0/24"
  done
}

# The engine hides every network behind its own address in the next one, even for what only passes a bridge. Between the lab's networks the routers alone decide.
UNHIDDEN=(-t nat POSTROUTING -s "$LAB_SUBNET" -d "$LAB_SUBNET" -m comment --comment "$LABEL.$LAB_NAME" -j ACCEPT)

iptables_rule() { # -I, -C or -D
  as_root env "PATH=$PATH:/usr/sbin:/sbin" iptables -w "${UNHIDDEN[@]:0:2}" "$1" "${UNHIDDEN[@]:2}" 2>/dev/null
}

routers_down() {
  while iptables_rule -D; do :; done
}

routers_up() {
  local router
  [ ${#ROUTERS[@]} -gt 0 ] || return 0
  iptables_rule -C || iptables_rule -I || die "no rule between the lab's networks" "the lab needs iptables, as its engine does"
  need nft=nftables nsenter=util-linux
  for router in "${ROUTERS[@]}"; do router_up "$router"; done
}

# A router is a namespace with two cables; its rules are put there from outside and so need no program inside.
router_up() {
  local outer inner word forward='' proto port host pid name=$LAB_NAME-$1
  read -r outer inner word <<<"${ROUTER[$1]}"
  if ! docker inspect "$name" >/dev/null 2>&1; then
    docker create --name "$name" --hostname "$1" --label "$LABEL=$LAB_NAME" --label homectl.lab.role=router \
      --network "$(network_name "${outer%:*}")" --ip "$PREFIX.${outer#*:}" --sysctl net.ipv4.ip_forward=1 \
      "$TOOLS_IMAGE" /bin/busybox sleep 2147483647 >/dev/null
    docker network connect --ip "$PREFIX.${inner#*:}" "$(network_name "${inner%:*}")" "$name"
  fi
  docker start "$name" >/dev/null
  for word in $word; do
    IFS=: read -r proto port host <<<"${word#forward=}"
    forward+="ip daddr $PREFIX.${outer#*:} $proto dport $port dnat to $PREFIX.$host; "
  done
  pid=$(docker inspect -f '{{.State.Pid}}' "$name")
  [ "${pid:-0}" != 0 ] || {
    docker logs --tail 5 "$name" >&2
    die "the router $1 ended at once" "its last words are above; 'lab down', then again"
  }
  as_root nsenter -t "$pid" -n ip route replace default via "$(gateway "${outer%:*}")"
  as_root nsenter -t "$pid" -n "$(PATH=$PATH:/usr/sbin command -v nft)" -f - <<RULES
table ip router
delete table ip router
table ip router {
  chain in { type nat hook prerouting priority dstnat; $forward }
  chain out { type nat hook postrouting priority srcnat; ip saddr ${NET[${inner%:*}]} ip daddr != ${NET[${inner%:*}]} masquerade; }
}
RULES
}
