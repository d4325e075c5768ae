[ ! -d /var/lib/etcd/member ] || { echo 'it has its data'; exit 0; }
[ -x /opt/homectl/bin/etcdctl ] || { echo 'etcdctl is not there yet'; exit 75; }
list=$(/opt/homectl/bin/etcdctl --command-timeout=5s --endpoints=https://10.77.0.1:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key member list 2>&1) || { echo "the members cannot be asked yet: $list"; exit 75; }
line=$(printf '%s\n' "$list" | grep -F ', https://10.77.0.2:2380, ' || :)
case $line in
'') echo 'the members do not know it'; exit 1 ;;
*', https://10.77.0.2:2379, '*) echo "listed as started, though there is no data here: $line"; exit 2 ;;
esac
echo "$line"
