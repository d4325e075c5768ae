command -v iptables-save >/dev/null || exit 0
if iptables-save -t filter | grep -q '^:KUBE-ROUTER-'; then echo 'chains of kube-router are left'; exit 1; fi
