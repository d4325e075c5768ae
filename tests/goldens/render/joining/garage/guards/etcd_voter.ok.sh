[ -x /opt/homectl/bin/etcdctl ] || { echo 'etcdctl is not there yet'; exit 75; }
said=$(/opt/homectl/bin/etcdctl --command-timeout=5s --endpoints=https://10.77.0.3:2379 --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt --key=/etc/kubernetes/pki/etcd/healthcheck-client.key endpoint status -w json 2>&1) || { echo 'its etcd does not answer yet'; exit 75; }
case $said in *'"isLearner":true'*) echo 'it follows and does not vote yet'; exit 1 ;; esac
echo 'it votes'
