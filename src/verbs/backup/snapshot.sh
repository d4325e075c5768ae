# A snapshot of etcd in a folder of its own, verified, and what the living cluster says of the same revision. `overlay` is set.
set -eu
umask 077
snapshots=/var/lib/homectl/snapshots
bin=/opt/homectl/bin
pki=/etc/kubernetes/pki/etcd
[ -x /opt/homectl/lib/etcd-snapshot ] || { echo 'homectl has set up no control plane here'; exit 1; }
mkdir -p -m 0700 "$snapshots"
# What a run that was cut left behind.
find "$snapshots" -maxdepth 1 -type d -name '.backup.*' -mmin +60 -exec rm -rf {} +
ctl() {
    "$bin/etcdctl" --command-timeout=30s --endpoints="https://$overlay:2379" --cacert="$pki/ca.crt" \
        --cert="$pki/healthcheck-client.crt" --key="$pki/healthcheck-client.key" "$@"
}
ctl endpoint health >/dev/null 2>"/run/homectl-backup.$$" || { tail -n 1 "/run/homectl-backup.$$"; rm -f "/run/homectl-backup.$$"; exit 1; }
rm -f "/run/homectl-backup.$$"
own=$(mktemp -d "$snapshots/.backup.XXXXXX")
told() { # COMMAND…: what it says, or the end
    said=$("$@" 2>&1) || { echo "$said"; rm -rf "$own"; exit 1; }
}
told env HOMECTL_SNAPSHOTS="$own" /opt/homectl/lib/etcd-snapshot "https://$overlay:2379"
file=$(find "$own" -name 'etcd-*.db')
told "$bin/etcdutl" snapshot status "$file" -w json
status=$said
rev=$(printf '%s\n' "$status" | sed -n 's/.*"revision":\([0-9]*\).*/\1/p')
told ctl endpoint status -w json
live=$said
told ctl get '' --prefix --count-only -w fields --rev="$rev"
count=$(printf '%s\n' "$said" | sed -n 's/^"Count" : //p')
told ctl endpoint hashkv --rev="$rev" -w json
hash=$said
printf 'folder %s\nfile %s\nbytes %s\nsha256 %s\nstatus %s\nlive %s\ncount %s\nhashkv %s\nend\n' \
    "$own" "$file" "$(stat -c %s "$file")" "$(sha256sum <"$file" | cut -c 1-64)" "$status" "$live" "$count" "$hash"
