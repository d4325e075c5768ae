# What status shows of one machine besides its certificates; read-only.
wg show wg0 public-key 2>/dev/null | sed 's/^/key /'
wg show wg0 latest-handshakes 2>/dev/null | sed 's/^/handshake /'
if [ -x /opt/homectl/bin/etcdctl ] && [ -f /etc/kubernetes/pki/etcd/healthcheck-client.key ]; then
    p=/etc/kubernetes/pki/etcd
    export ETCDCTL_CACERT=$p/ca.crt ETCDCTL_CERT=$p/healthcheck-client.crt ETCDCTL_KEY=$p/healthcheck-client.key
    s=$(/opt/homectl/bin/etcdctl --endpoints="https://$overlay:2379" --command-timeout=3s endpoint status -w json 2>&1)
    printf 'etcd %s\n' "$(printf '%s' "$s" | tail -n 1)"
    timer=/etc/systemd/system/homectl-etcd-snapshot.timer
    if [ -f "$timer" ]; then
        taken=$(find /var/lib/homectl/snapshots -maxdepth 1 -type f -name 'etcd-*.db' -printf '%T@\n' 2>/dev/null | sort -n | tail -n 1)
        taken=${taken%.*}
        printf 'snapshot %s %s\n' "${taken:--}" "$(stat -c %Y "$timer")"
    fi
fi
