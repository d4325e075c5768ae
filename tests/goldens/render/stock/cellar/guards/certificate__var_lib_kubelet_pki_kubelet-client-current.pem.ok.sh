command -v openssl >/dev/null || { echo 'openssl is not installed yet'; exit 75; }
[ -s /etc/kubernetes/pki/ca.crt ] || { echo 'the CA certificate is not there yet'; exit 75; }
file=/var/lib/kubelet/pki/kubelet-client-current.pem
if [ ! -e "$file" ] && [ ! -L "$file" ]; then echo 'missing'; exit 1; fi
[ -L "$file" ] || { echo "$file is no link, so the kubelet could not renew it"; exit 1; }
[ -s "$file" ] || { echo "$file leads nowhere"; exit 1; }
about=$(openssl x509 -in "$file" -noout -checkend 0 -ext authorityKeyIdentifier 2>/dev/null) || { echo "expired or unreadable: $(openssl x509 -in "$file" -noout -enddate 2>&1)"; exit 1; }
said=$(openssl verify -CAfile /etc/kubernetes/pki/ca.crt -purpose sslclient "$file" 2>&1) || { echo "$said"; exit 1; }
subject=$(openssl x509 -in "$file" -noout -subject -nameopt RFC2253)
subject=,${subject#subject=},
case $subject in *,CN=system:node:cellar,*) ;; *) echo "of somebody else: $subject"; exit 1 ;; esac
case $subject in *,O=system:nodes,*) ;; *) echo "not of the group of nodes: $subject"; exit 1 ;; esac
[ "$(openssl x509 -in "$file" -noout -pubkey)" = "$(openssl pkey -in "$file" -pubout 2>/dev/null)" ] || { echo 'certificate and key do not belong together'; exit 1; }
