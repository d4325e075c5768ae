# What status shows of one machine; read-only. Keys never leave it: only certificate blocks are printed.
certificate() {
    c=$(sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$1" 2>/dev/null)
    [ -n "$c" ] || c=$(sed -n 's/^ *client-certificate-data: *//p' "$1" 2>/dev/null | base64 -d 2>/dev/null)
    [ -z "$c" ] || printf 'certificate %s %s\n' "$1" "$(printf '%s\n' "$c" | base64 -w0)"
}
for f in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /etc/kubernetes/*.conf /etc/homectl/*.conf \
    /var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet-server-current.pem; do
    [ -f "$f" ] && certificate "$f"
done
printf 'now %s\n' "$(date +%s)"
wg show wg0 public-key 2>/dev/null | sed 's/^/key /'
wg show wg0 latest-handshakes 2>/dev/null | sed 's/^/handshake /'
if [ -x /opt/homectl/bin/etcdctl ] && [ -f /etc/kubernetes/pki/etcd/healthcheck-client.key ]; then
    p=/etc/kubernetes/pki/etcd
    export ETCDCTL_CACERT=$p/ca.crt ETCDCTL_CERT=$p/healthcheck-client.crt ETCDCTL_KEY=$p/healthcheck-client.key
    s=$(/opt/homectl/bin/etcdctl --endpoints="https://$overlay:2379" --command-timeout=3s endpoint status -w json 2>&1)
    printf 'etcd %s\n' "$(printf '%s' "$s" | tail -n 1)"
fi
echo end
