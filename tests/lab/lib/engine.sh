# The container engine: the machine's where one answers, else a dockerd of the lab's own, which ends with the last lab.
# shellcheck shell=bash

ENGINE_RUN=/run/homectl-lab-$(id -u)
ENGINE_SOCKET=$ENGINE_RUN/docker.sock
DOCKER=()

docker() { "${DOCKER[@]}" "$@"; }

# A client and a daemon of different ages may not understand each other, so each client that is installed is asked.
engine_reach() {
  local client
  DOCKER=()
  for client in $(type -ap docker | awk '!seen[$0]++'); do
    if [ -S "$ENGINE_SOCKET" ] && "$client" -H "unix://$ENGINE_SOCKET" info >/dev/null 2>&1; then
      DOCKER=("$client" -H "unix://$ENGINE_SOCKET")
    elif "$client" info >/dev/null 2>&1; then
      DOCKER=("$client")
    elif [ "$(id -u)" != 0 ] && sudo -n "$client" info >/dev/null 2>&1; then
      DOCKER=(sudo "$client")
    else
      continue
    fi
    return 0
  done
  return 1
}

engine_is_ours() { [ "${DOCKER[1]:-}" = -H ]; }

# A pid file outlives its process when that was killed or the machine lost power; the number may be another's by now, or a dead child's that nobody asked for.
pid_of() { # FILE WORD: the process that a pid file names, if WORD is in its command line
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$2" && echo "$pid"
}

engine_pid() { pid_of "$ENGINE_RUN/docker.pid" "$ENGINE_SOCKET"; }

engine_up() {
  engine_reach && return 0
  need docker=docker.io dockerd=docker.io iptables=iptables
  engine_reach && return 0
  local data=$CACHE/engine/data log=$CACHE/engine/dockerd.log pid
  local engine=(dockerd --host "unix://$ENGINE_SOCKET" --group "$(id -gn)" --data-root "$data"
    --exec-root "$ENGINE_RUN/exec" --pidfile "$ENGINE_RUN/docker.pid" --bridge none)
  say "starting a container engine of the lab's own (log: $log)"
  mkdir -p "$data"
  as_root mkdir -p "$ENGINE_RUN"
  engine_pid >/dev/null || as_root rm -f "$ENGINE_RUN/docker.pid"
  pid_of "$ENGINE_RUN/exec/containerd/containerd.pid" "$ENGINE_RUN" >/dev/null || as_root rm -f "$ENGINE_RUN/exec/containerd/containerd.pid"
  # After a crash the notes of the first start stand: what is there now may be the engine's own.
  if [ ! -f "$CACHE/engine/firewall-before" ]; then
    cat /proc/sys/net/ipv4/ip_forward >"$CACHE/engine/forward-before"
    [ -d /run/docker ] || touch "$CACHE/engine/run-docker-made"
    firewall_names >"$CACHE/engine/firewall-before"
  fi
  (
    # The engine lives on: it must not keep this run's locks and pipes.
    for pid in /proc/"$BASHPID"/fd/*; do
      pid=${pid##*/}
      [ "$pid" -le 2 ] || eval "exec $pid>&-"
    done
    exec </dev/null >"$log" 2>&1
    [ "$(id -u)" = 0 ] || exec sudo setsid env PATH="$PATH:/usr/sbin:/sbin" "${engine[@]}"
    PATH=$PATH:/usr/sbin:/sbin exec setsid "${engine[@]}"
  ) &
  local limit=$((SECONDS + 60))
  until engine_reach; do
    if [ "$SECONDS" -ge "$limit" ]; then
      tail -n 15 "$log" >&2
      die "the container engine did not start" "its log is $log; the lab needs root or sudo, overlayfs and iptables"
    fi
    sleep 0.2
  done
}

# Ends the engine that the lab started, and what it leaves.
engine_down() {
  local pid limit
  engine_is_ours || return 0
  pid=$(engine_pid) || return 0
  say "stopping the lab's container engine"
  as_root kill -TERM "$pid"
  limit=$((SECONDS + 30))
  while as_root kill -0 "$pid" 2>/dev/null; do
    [ "$SECONDS" -lt "$limit" ] || die "the engine (process $pid) does not stop" "see $CACHE/engine/dockerd.log"
    sleep 0.1
  done
  firewall_restore
  while mountpoint -q "$CACHE/engine/data"; do as_root umount "$CACHE/engine/data"; done
  as_root rm -rf "$ENGINE_RUN"
  [ ! -f "$CACHE/engine/run-docker-made" ] || as_root rm -rf /run/docker
  rm -f "$CACHE/engine/run-docker-made"
  as_root find /sys/fs/cgroup -maxdepth 2 -type d -name docker -exec rmdir {} + 2>/dev/null || true
}

# dockerd leaves its chains and the forward policy behind; what was not there before goes with it.
firewall_names() {
  as_root env PATH="$PATH:/usr/sbin:/sbin" iptables-save 2>/dev/null | awk '/^\*/ {t = substr($1, 2)} /^:/ {print t, substr($1, 2), $2}' || true
}

firewall_restore() {
  local before=$CACHE/engine/firewall-before table chain policy rule
  local ipt=(as_root env "PATH=$PATH:/usr/sbin:/sbin" iptables -w)
  [ -f "$before" ] || return 0
  while read -r table chain policy; do
    [[ $chain == DOCKER* ]] || continue
    grep -q "^$table $chain " "$before" && continue
    # Rules that jump to the chain first, wherever they are, then the chain.
    while read -r rule; do
      # shellcheck disable=SC2086
      "${ipt[@]}" -t "$table" $rule || true
    done < <("${ipt[@]}" -t "$table" -S | sed -n "/-j $chain\$/s/^-A/-D/p")
    "${ipt[@]}" -t "$table" -F "$chain" || true
  done < <(firewall_names)
  while read -r table chain policy; do
    if [[ $chain == DOCKER* ]]; then
      grep -q "^$table $chain " "$before" || "${ipt[@]}" -t "$table" -X "$chain" || true
    elif [ "$table $chain" = 'filter FORWARD' ] && [ "$policy" = DROP ] && ! grep -q '^filter FORWARD DROP' "$before"; then
      "${ipt[@]}" -P FORWARD ACCEPT || true
    fi
  done < <(firewall_names)
  as_root tee /proc/sys/net/ipv4/ip_forward <"$CACHE/engine/forward-before" >/dev/null || true
  rm -f "$before" "$CACHE/engine/forward-before"
}

# What a machine is allowed. Full privilege where the engine may give it; else every capability that it has itself.
# The clock belongs to all machines at once, so nobody gets SYS_TIME where a choice can be made.
CAPABILITIES=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST
  NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE
  SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ)

# engine_rights IMAGE: sets RIGHTS to the options of `docker run`.
engine_rights() {
  local bits i name file=$CACHE/engine/rights
  RIGHTS=(--privileged)
  # Asked once for each boot of this machine.
  if [ "$(head -n 1 "$file" 2>/dev/null)" != "$(cat /proc/sys/kernel/random/boot_id)" ]; then
    mkdir -p "$CACHE/engine"
    cat /proc/sys/kernel/random/boot_id >"$file.new"
    if docker run --rm --privileged --network none --label "$LABEL=$LAB_NAME" --entrypoint /bin/true "$1" >/dev/null 2>&1; then
      echo privileged >>"$file.new"
    else
      echo listed >>"$file.new"
    fi
    mv "$file.new" "$file"
  fi
  [ "$(tail -n 1 "$file")" = listed ] || return 0
  bits=$(awk '/^CapBnd/ {print $2}' /proc/1/status)
  RIGHTS=(--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined
    --device-cgroup-rule 'a *:* rwm' --device /dev/kmsg)
  [ ! -e /dev/net/tun ] || RIGHTS+=(--device /dev/net/tun)
  [ ! -e /dev/fuse ] || RIGHTS+=(--device /dev/fuse)
  for i in "${!CAPABILITIES[@]}"; do
    name=${CAPABILITIES[i]}
    [ "$name" != SYS_TIME ] || continue
    (((0x$bits >> i) & 1)) && RIGHTS+=(--cap-add "$name")
  done
  return 0
}
