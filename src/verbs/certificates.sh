# The certificates of one machine, and who renews them; read-only. Keys never leave it: only certificate blocks are printed.
certificate() {
    c=$(sed -n '/-----BEGIN CERTIFICATE-----/,/-----END CERTIFICATE-----/p' "$1" 2>/dev/null)
    [ -n "$c" ] || c=$(sed -n 's/^ *client-certificate-data: *//p' "$1" 2>/dev/null | base64 -d 2>/dev/null)
    [ -z "$c" ] || printf 'certificate %s %s\n' "$1" "$(printf '%s\n' "$c" | base64 -w0)"
}
printf 'now %s\n' "$(date +%s)"
for f in /etc/kubernetes/pki/*.crt /etc/kubernetes/pki/etcd/*.crt /etc/kubernetes/*.conf /etc/homectl/*.conf \
    /var/lib/kubelet/pki/kubelet-client-current.pem /var/lib/kubelet/pki/kubelet-server-current.pem; do
    [ -f "$f" ] && certificate "$f"
done
printf 'kubelet %s\n' "$(systemctl is-active kubelet.service 2>/dev/null)"
if [ -f /etc/homectl/certificates.list ]; then
    printf 'timer %s %s\n' "$(systemctl is-active homectl-renewal.timer 2>/dev/null)" \
        "$(systemctl show -p Result --value homectl-renewal.service 2>/dev/null)"
    sed -n 's/^[a-z]* \([^ ]*\) .*/listed \1/p' /etc/homectl/certificates.list
fi
