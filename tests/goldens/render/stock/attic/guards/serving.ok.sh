if ! /opt/homectl/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /readyz >/dev/null 2>&1; then echo 'there is no API yet'; exit 75; fi
missing=
for n in attic cellar garage; do said=$(/opt/homectl/bin/kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s get --raw /api/v1/nodes/$n/proxy/healthz 2>&1) || { missing="$missing $n"; why=$said; }; done
if [ -n "$missing" ]; then echo "not reached:$missing ($why)"; exit 1; fi
echo 'all reached'
