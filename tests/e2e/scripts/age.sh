# Makes certificates short-lived or expired, on a control plane, with the CA keys that lie there.
#   age.sh FROM UNTIL                       those of homectl's list: same key, names and usages
#   age.sh FROM UNTIL kubelet NODE ADDRESS  a client and a serving certificate of that node's kubelet, with their keys, to
#                                           /run/e2e-client.pem and /run/e2e-server.pem
# FROM and UNTIL are Unix seconds.
set -eu
from=$(date -u -d "@$1" +%Y%m%d%H%M%SZ) until=$(date -u -d "@$2" +%Y%m%d%H%M%SZ)
if [ "${3:-}" = kubelet ]; then
    d=$(mktemp -d)
    trap 'rm -rf "$d"' EXIT
    printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n' >"$d/client.ext"
    printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:%s,IP:%s\n' "$4" "$5" >"$d/server.ext"
    for what in client server; do
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$d/key" -subj "/O=system:nodes/CN=system:node:$4" -out "$d/csr" 2>/dev/null
        openssl x509 -req -in "$d/csr" -CA /etc/kubernetes/pki/ca.crt -CAkey /etc/kubernetes/pki/ca.key -not_before "$from" -not_after "$until" \
            -extfile "$d/$what.ext" -out "$d/crt" 2>/dev/null
        (umask 077 && cat "$d/crt" "$d/key" >"/run/e2e-$what.pem")
    done
    exit
fi
# The machine's own program, but for the dates, and without the restarts.
sed -e "s/-startdate .* 2>/-startdate $from -enddate $until 2>/" \
    -e 's/openssl verify /openssl verify -no_check_time /' -e 's/^        restart || status=1$/        :/' \
    /opt/homectl/lib/renew-certificates >/var/lib/e2e-age
grep -q -e "-enddate $until" /var/lib/e2e-age
sh /var/lib/e2e-age --force >/var/lib/e2e-age.log 2>&1 || { cat /var/lib/e2e-age.log; exit 1; }
