# Ends whoever holds this machine's lock, and says who that was. Their next script is refused; one that runs comes to its end.
lock=/run/homectl.lock
[ -s "$lock" ] || exit 0
read -r _ who <"$lock"
ended=
for fd in /proc/[0-9]*/fd/9; do
    [ "$(readlink "$fd" 2>/dev/null)" = "$lock" ] || continue
    pid=${fd#/proc/}
    kill "${pid%%/*}" 2>/dev/null && ended=yes
done
[ -z "$ended" ] || printf '%s\n' "$who"
