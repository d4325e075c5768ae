# What every part uses: names, places, talk. Progress goes to stderr, data to stdout.
# shellcheck shell=bash disable=SC2034

# Whatever fails without words of its own says at least where.
set -E
trap 'printf "lab: error: failed: %s (%s line %s)\n" "$BASH_COMMAND" "${BASH_SOURCE[0]##*/}" "$LINENO" >&2' ERR

LAB_NAME=${LAB_NAME:-homectl}
LAB_SUBNET=${LAB_SUBNET:-198.18.0.0/24}
LAB_SUITE=${LAB_SUITE:-trixie}
LAB_MIRROR=${LAB_MIRROR:-file}

REPO=$(readlink -f "$LAB_HOME/../..")
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/homectl/lab
STATE=$CACHE/$LAB_NAME
LABEL=homectl.lab

say() { printf 'lab: %s\n' "$*" >&2; }

# die MESSAGE [REMEDY]
die() {
  printf 'lab: error: %s\n' "$1" >&2
  [ -z "${2:-}" ] || printf 'lab: help: %s\n' "$2" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# The settings are checked before anything is made, since they end in names, addresses and paths.
check_settings() {
  [[ $LAB_NAME =~ ^[a-z][a-z0-9-]{0,19}$ ]] || die "LAB_NAME '$LAB_NAME' is no name" "use small letters, digits and dashes"
  case $LAB_NAME in
    apt | artifacts | bin | build | engine | images | mirror | registry) die "LAB_NAME '$LAB_NAME' is a folder of the lab's cache" "choose another name" ;;
  esac
  [[ $LAB_SUBNET =~ ^198\.1[89]\.(0|[1-9][0-9]?|1[0-9][0-9]|2[0-4][0-9]|25[0-5])\.0/24$ ]] ||
    die "LAB_SUBNET '$LAB_SUBNET' is no /24 inside 198.18.0.0/15" "for instance LAB_SUBNET=198.18.7.0/24"
  case $LAB_SUITE in trixie | bookworm) ;; *) die "LAB_SUITE '$LAB_SUITE' is unknown" "trixie or bookworm" ;; esac
  case $LAB_MIRROR in file | http) ;; *) die "LAB_MIRROR '$LAB_MIRROR' is unknown" "file or http" ;; esac
  PREFIX=${LAB_SUBNET%.0/24}
  mkdir -p "$CACHE"
}

# with_lock NAME COMMAND…: one at a time on this machine. Children must not inherit the lock, so it lies on a descriptor they are not given.
with_lock() {
  local name=$1 fd
  shift
  exec {fd}>"$CACHE/.lock-$name"
  flock "$fd"
  LOCK_FD=$fd "$@"
  exec {fd}>&-
}

# sha of what is on stdin, short enough for a file name
key() { sha256sum | cut -c1-16; }

# wait_for SECONDS WHAT COMMAND…
wait_for() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    [ "$SECONDS" -lt "$limit" ] || die "$what: not within its time" "last command: $*"
    sleep 0.1
  done
}
