# Shared by the stand-ins of a simulated machine. What they know lies below /sim in its root; /ctl is the test's, /fleet
# shows all machines.
# shellcheck shell=sh disable=SC2120

# A place where the machine may be cut. The test says how many of them go by first.
sim_op() {
    sim_left=
    [ ! -e /ctl/armed ] || read -r sim_left </ctl/armed || :
    case $sim_left in
        '') ;;
        0) sim_cut ;;
        *) echo $((sim_left - 1)) >/ctl/armed ;;
    esac
}

# Says so and goes no further: the test kills the machine. Where the test only wants a command to fail, it fails.
sim_cut() {
    command rm -f /ctl/armed
    if [ -e /ctl/fails ]; then
        command rm -f /ctl/fails
        echo "sim: Input/output error$*" >&2
        exit 1
    fi
    printf '\n@sim cut%s\n' "$*" >&7
    exec sleep 1000
}

# Whether a unit runs on the machine whose root is $1.
sim_runs() {
    sim_state=
    [ ! -e "$1/sim/units/$2/state" ] || read -r sim_state <"$1/sim/units/$2/state"
    [ "$sim_state" = active ]
}

# Whether etcd answers on the machine whose root is $1: it runs, and so does the majority of its members.
sim_etcd() {
    sim_runs "$1" etcd.service && [ -e "$1/var/lib/etcd/member/members" ] || return 1
    sim_all=0 sim_up=0
    while read -r _ sim_member _ sim_role; do
        [ "$sim_role" = voter ] || continue
        sim_all=$((sim_all + 1))
        ! sim_runs "/fleet/$sim_member" etcd.service || sim_up=$((sim_up + 1))
    done <"$1/var/lib/etcd/member/members"
    [ $((sim_up * 2)) -gt "$sim_all" ]
}

# Whether the API server answers there.
sim_api() { sim_runs "$1" kube-apiserver.service && sim_etcd "$1"; }
