QUOTING_STYLE=literal
export QUOTING_STYLE
inodes() {
    want=$1
    shift
    a=$(stat -c '%n|%f|%U:%G|%N' -- "$@" 2>&1)
    f=
    for p in $hash; do [ -f "$p" ] && [ ! -L "$p" ] && f="$f $p"; done
    b=
    [ -z "$f" ] || b=$(sha256sum -- $f 2>&1)
    if [ "$(printf '%s\n%s\n' "$a" "$b" | sha256sum | cut -c 1-64)" = "$want" ]; then
        echo =
    else
        printf '%s\n#\n%s\n' "$a" "$b"
    fi
}
text() { # a file that is larger is none of ours
    [ ! -f "$1" ] || [ -L "$1" ] || printf '%s %s\n' "$1" "$(head -c 262144 "$1" | base64 -w0)"
}
certificate() { # FORM FILE: the letters between the first BEGIN and END; a file that is no certificate may be large
    case $1 in
        pem) head -c 65536 "$2" ;;
        *) sed -n 's/^ *client-certificate-data: *//p' "$2" | head -c 65536 | base64 -d 2>/dev/null ;;
    esac | sed -n '/^-----BEGIN CERTIFICATE-----/,/^-----END/{/^-----END/q;/^-----/!p;}' | tr -d '\r\n'
}
leaf() {
    s=$(stat -c '%f|%U:%G' -- "$4" 2>&1) || {
        case $s in *'No such file'*) echo "$1 absent" ;; *) echo "$1 failed $s" ;; esac
        return
    }
    case $s in 8*) ;; *)
        echo "$1 $s - -"
        return
        ;;
    esac
    if [ "$(sha256sum <"$4" | cut -c 1-64)" = "$3" ]; then
        echo "$1 $s = ="
        return
    fi
    r=-
    [ "$2" = pem ] || r=$(sed '/^ *client-certificate-data:/d' "$4" | sha256sum | cut -c 1-64)
    c=$(certificate "$2" "$4")
    echo "$1 $s $r ${c:--}"
}
program() {
    i=$1 d=$2
    shift 2
    if [ ! -d "$d" ]; then echo "$i absent"; return; fi
    (
        cd "$d" || exit 1
        now=$(stat -c '%n %s %i %Z %f' -- "$@" 2>&1) || { echo "$i off $(echo "$now" | grep -v '^[^ ]* [0-9]' | head -n 1)"; exit 0; }
        if [ -f .stamp ] && [ "$now" = "$(cat .stamp)" ]; then
            echo "$i ok"
        elif bad=$(sha256sum -c --quiet .sums 2>&1); then
            case $now in *' 81ed'*) echo "$i ok" ;; *) echo "$i off mode changed" ;; esac
        else
            echo "$i off $(echo "$bad" | head -n 1)"
        fi
    )
}
account() { # getent says 2 where there is no such name
    for d in passwd group; do
        rc=0
        line=$(getent "$d" "$2") || rc=$?
        case $rc in 0 | 2) ;; *)
            echo "$1 failed getent ended with $rc"
            return
            ;;
        esac
        if [ "$d" = passwd ]; then user=$line; else echo "$1 $user|$line"; fi
    done
}
dropins() { # those that systemd has not read yet are not in what it shows
    for u; do
        for d in /etc /run /usr/local/lib /usr/lib; do
            for f in "$d/systemd/system/$u.d"/*.conf; do [ ! -e "$f" ] || echo "$f"; done
        done
    done
    echo .
}
newest() {
    i=$1 when=$2
    shift 2
    # When it was written: a mode or an owner put right concerns nobody who runs.
    echo "$i $when $(stat -c '%Y %n' -- "$@" 2>/dev/null | sort -n | tail -n 1)"
}
setting() {
    if [ ! -e "$2" ]; then echo "$1 absent"; return; fi
    # Not `read`: dash reads byte by byte, and files of /proc/sys give only their first byte that way.
    if v=$(cat "$2" 2>/dev/null); then echo "$1 = $v"; else echo "$1 failed cannot read $2"; fi
}
module() {
    if [ -d "/sys/module/$2" ] || [ ! -e /proc/modules ] || grep -qs "/$2\.ko" "/lib/modules/$(uname -r)/modules.builtin"; then
        echo "$1 yes"
    else
        echo "$1 no"
    fi
}
told() {
    echo "$1 $2"
    [ -z "$3" ] || printf '%s\n' "$3" | sed 's/^/|/'
}
