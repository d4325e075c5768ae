# The second look, where something is to change.
content() {
    if [ "$(stat -c %s -- "$1")" -le 262144 ]; then printf '%s %s\n' "$1" "$(base64 -w0 <"$1")"; fi
}
held() { # PATH…: which of them would not let themselves be written, and the entry that stands in the way
    pairs= entries=
    for w; do
        p=$w q=
        [ ! -L "$p" ] || p=${p%/*}
        # Of what is missing, the nearest folder that is there.
        while [ ! -e "${p:=/}" ]; do p=${p%/*}; done
        # A file is replaced: its folder has to allow that, too.
        if [ "$p" = "$w" ] && [ ! -d "$p" ]; then q=${p%/*} q=${q:-/}; fi
        for e in $p $q; do
            pairs="$pairs $w|$e" entries="$entries $e"
            [ -w "$e" ] || case ,$(findmnt -nro OPTIONS -T "$e" 2>/dev/null), in
                *,ro,*) echo "!r $w $e" ;;
                *) echo "!w $w $e" ;;
            esac
        done
    done
    lsattr -d -- $(printf '%s\n' $entries | sort -u) 2>/dev/null | sed -n 's/^[^ ]*\([ia]\)[^ ]* /\1 /p' | while read -r flag e; do
        for pair in $pairs; do [ "${pair#*|}" != "$e" ] || echo "!$flag ${pair%|*} $e"; done
    done
}
