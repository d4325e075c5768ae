live=
n=$(/opt/homectl/bin/etcdctl --command-timeout=5s --endpoints=https://10.77.0.2:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key endpoint status -w json 2>/dev/null | sed -n 's/.*"cluster_id":\([0-9]*\).*/\1/p') || n=
[ -z "$n" ] || live=$(printf '%016x' "$n")
recorded=$(cat /var/lib/homectl/etcd-cluster-id 2>/dev/null) || recorded=
known=aaaaaaaaaaaaaaaa
if [ -z "$live" ]; then echo 'etcd does not answer yet'; exit 75; fi
if [ -n "$known" ] && [ "$live" != "$known" ]; then echo "etcd says it is cluster $live, the inventory's lock says $known"; exit 2; fi
if [ -z "$recorded" ]; then echo "cluster $live is not recorded"; exit 1; fi
if [ "$live" != "$recorded" ]; then echo "etcd says it is cluster $live, /var/lib/homectl/etcd-cluster-id says $recorded"; exit 2; fi
echo "cluster $live"
