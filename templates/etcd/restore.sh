data=/var/lib/etcd
umask 077
! systemctl is-active --quiet etcd.service || { echo 'etcd still runs'; exit 1; }
finish() { # What is in the place of etcd's data is whole from the first moment on, and nothing else lies about then.
    rm -rf "$data/restoring" "$data/salvage" "$data/aside"
    [ -z "$sha256" ] || rm -f "$snapshot"
    for old in "$data"/origin-*; do [ "$old" = "$data/origin-$id" ] || rm -f "$old"; done
    sync -f "$data"
    mv -T "$data/restored" "$data/member"
    sync -f "$data"
    echo "restored: etcd cluster $id"
    exit 0
}
# A run that was cut behind the record below.
[ -e "$data/member" ] || [ ! -d "$data/restored" ] || [ "$(cat "$recorded" 2>/dev/null)" != "$id" ] || finish
rm -rf "$data/restoring" "$data/restored"
# A run that was cut between the two renames below has left this, and nothing in the place: what was there goes back to it.
if [ ! -e "$data/member" ] && aside=$(cat "$data/aside" 2>/dev/null) && [ -n "$aside" ] && [ -d "$aside" ]; then
    mv -T "$aside" "$data/member"
    sync -f "$data"
fi
last() { # FILE: its last words
    tail -n 5 "$1"
    rm -rf "$data/restoring" "$data/salvage"
    exit 1
}
if [ -n "$sha256" ]; then
    echo "$sha256  $snapshot" | sha256sum -c --status || { echo "$snapshot is not the snapshot that was sent (or did not arrive)"; exit 1; }
else
    # The one member that is left, brought up alone on a copy of its data, where nobody can reach it: its log is replayed, and
    # what comes out has a hash.
    [ -d "$data/member" ] || { echo "there is no data in $data; what a restore has moved aside would be in $data/before-(time)"; exit 1; }
    rm -rf "$data/salvage"
    mkdir -m 0700 "$data/salvage"
    cp -a "$data/member" "$data/salvage/member"
    cd "$data/salvage"
    /opt/homectl/bin/etcd --name=salvage --data-dir="$data/salvage" --force-new-cluster \
        --listen-client-urls=unix://client --advertise-client-urls=http://localhost:1 \
        --listen-peer-urls=unix://peer --initial-advertise-peer-urls=http://localhost:1 \
        --initial-cluster=salvage=http://localhost:1 --unsafe-no-fsync --log-level=warn >"$data/salvage/log" 2>&1 </dev/null &
    alone=$!
    tries=300
    until /opt/homectl/bin/etcdctl --endpoints=unix://client --command-timeout=2s snapshot save "$snapshot" >"$data/salvage/said" 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ] || ! kill -0 "$alone" 2>/dev/null; then
            kill "$alone" 2>/dev/null || :
            cat "$data/salvage/said" >>"$data/salvage/log"
            last "$data/salvage/log"
        fi
        rm -f "$snapshot.part"
        sleep 0.2
    done
    kill "$alone"
    wait "$alone" 2>/dev/null || :
    cd /
fi
mkdir -m 0700 "$data/restoring"
# Every member has the same snapshot, and so the same leap.
at=$(/opt/homectl/bin/etcdutl snapshot status "$snapshot" -w json 2>"$data/restoring/log" </dev/null | sed -n 's/.*"revision":\([0-9]*\).*/\1/p')
[ -n "$at" ] || last "$data/restoring/log"
leap=$((revision - at))
[ "$leap" -ge "$least" ] || leap=$least
/opt/homectl/bin/etcdutl snapshot restore "$snapshot" --data-dir "$data/restoring/data" --name "$name" \
    --initial-cluster "$list" --initial-advertise-peer-urls "$url" --initial-cluster-token "$token" \
    --bump-revision "$leap" --mark-compacted >"$data/restoring/log" 2>&1 </dev/null || last "$data/restoring/log"
chown -R etcd:etcd "$data/restoring/data"
sync -f "$data"
if [ -e "$data/member" ]; then
    aside=$data/before-$(date -u +%Y%m%dT%H%M%SZ)
    printf '%s\n' "$aside" >"$data/aside.new"
    sync "$data/aside.new"
    mv -T "$data/aside.new" "$data/aside"
    sync -f "$data"
    mv -T "$data/member" "$aside"
    echo "what was there is in $aside"
fi
mv -T "$data/restoring/data/member" "$data/restored"
sync -f "$data"
# The record comes before the data: with it alone nothing starts, and the next run goes on. Data without its record
# would start with the machine, take entries, and then be restored once more.
printf '%s\n' "$origin" >"$data/origin-$id"
sync "$data/origin-$id" "$data"
mkdir -p /var/lib/homectl
umask 022
printf '%s\n' "$id" >"$recorded.new"
sync "$recorded.new"
mv -T "$recorded.new" "$recorded"
sync -f /var/lib/homectl
finish
