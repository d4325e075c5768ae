why=$(/opt/homectl/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /api/v1/nodes/attic/proxy/healthz 2>&1) && why= || why=${why:-no answer}
[ -n "$why" ] || { echo 'reached'; exit 0; }
if ! /opt/homectl/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /readyz >/dev/null 2>&1; then echo 'there is no API yet'; exit 75; fi
echo "not reached: $why"
exit 1
