# What every script may use. Runs as root; each fragment in a subshell of its own under set -eu.
put() { # PATH MODE OWNER <base64: the file lands whole or not at all
    if [ -L "$1" ] || { [ -e "$1" ] && [ ! -f "$1" ]; }; then
        echo "$1 is not a regular file"
        return 1
    fi
    d=${1%/*}
    # What a power cut left half written, a key perhaps, goes before the next file lands beside it.
    rm -f "${d:-/}"/.homectl.*
    t=$(mktemp "${d:-/}/.homectl.XXXXXXXXXX")
    if base64 -d >"$t" && chown "$3" "$t" && chmod "$2" "$t" && sync "$t" && mv -fT "$t" "$1"; then
        sync "${d:-/}"
    else
        rm -f "$t"
        return 1
    fi
}
relink() { # PATH TARGET
    d=${1%/*}
    t=$d/.homectl.$$.${1##*/}
    rm -f "$t"
    ln -s "$2" "$t"
    mv -fT "$t" "$1"
    sync "$d"
}
unit_fresh() { # systemd reads unit files again only where it must; a timer stands for its service too
    # What it has once said of a unit that was disabled it repeats until then.
    case $(systemctl show -p NeedDaemonReload,UnitFileState --value -- "$1" "${1%.*}.service") in *yes* | *disabled*) systemctl daemon-reload ;; esac
}
unit_start() {
    systemctl enable --no-reload --quiet -- "$1"
    unit_fresh "$1"
    systemctl reset-failed -- "$1" 2>/dev/null || true
    systemctl start --no-block -- "$1"
}
unit_restart() {
    unit_fresh "$1"
    systemctl reset-failed -- "$1" 2>/dev/null || true
    systemctl restart --no-block -- "$1"
}
unit_reload() {
    unit_fresh "$1"
    systemctl reload-or-restart -- "$1"
}
journal() { # WORDS: for whoever asks this machine later: journalctl -t homectl
    who=
    read -r _ who 2>/dev/null <"${hc_lock_file:-/dev/null}" || :
    logger -t homectl -- "$1${who:+; $who}" 2>/dev/null || :
}
unit_settled() { # systemd has nothing left to do for any of them: what answers now is no process that is about to stop
    for u; do
        case $(systemctl show -p Job --value -- "$u") in '' | 0) ;; *)
            echo "$u: systemd is still at it"
            return 1
            ;;
        esac
    done
}
run_lives() { # the run that sent this script still holds the machine; one that was cut off is not waited for
    [ "${hc_lock:--}" != - ] || return 0
    read -r holder _ 2>/dev/null <"$hc_lock_file" || holder=
    [ "$holder" = "$hc_lock" ]
}
unit_stop() { # what a timer has started, or what waits to be tried again for it, ends with it
    u=$1
    case $u in *.timer) set -- "$u" "${u%.*}.service" ;; esac
    systemctl stop -- "$@" 2>/dev/null || true
    systemctl reset-failed -- "$@" 2>/dev/null || true
    # Last: what was cut off before is begun again, because the unit is still enabled.
    systemctl disable --quiet -- "$u" 2>/dev/null || true
}
apt_install() { # another apt (unattended-upgrades) may hold the lock: wait for it, do not fail
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    # A power cut in the middle of an installation leaves packages half configured, and apt then refuses to do anything.
    [ -z "$(dpkg --audit 2>/dev/null)" ] || dpkg --configure -a --force-confold
    set -- -y -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold --no-install-recommends install -- "$@"
    apt-get "$@" || { apt-get -q -o DPkg::Lock::Timeout=300 update && apt-get "$@"; }
}
