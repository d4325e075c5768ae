# Asks the API through the node's proxy and a Service, ten times a second each, until /run/e2e-stop is there.
#   asks.sh SERVICE-ADDRESS
# A line an answer: seconds since 1970, who was asked, "ok" or what came instead.
rm -f /run/e2e-stop
# A read of the node's own object, with its kubelet's certificate: etcd is behind the answer. (A server that is about to end says so in
# /readyz, and goes on answering everybody for a while.)
mine=/var/lib/kubelet/pki/kubelet-client-current.pem
api() {
    while [ ! -e /run/e2e-stop ]; do
        at=$(date +%s.%N)
        said=$(printf 'GET /api/v1/nodes/%s HTTP/1.0\r\n\r\n' "$(hostname)" |
            timeout 3 openssl s_client -quiet -cert $mine -key $mine -connect 127.0.0.1:7443 2>/dev/null | sed -n '1 { s/^[^ ]* 200 .*/ok/p; t; s/^[^ ]* \([0-9]*\).*/\1/p }')
        echo "$at api ${said:-nothing}"
        sleep 0.07
    done
}
service() {
    # A clock of hundredths that every Perl can read.
    perl -MIO::Socket::INET -e '
        $| = 1;
        sub now { open my $f, "<", "/proc/uptime"; (split " ", <$f>)[0] }
        until (-e "/run/e2e-stop") {
            my $at = now();
            my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 80, Timeout => 2);
            my $said = "refused";
            if ($s) {
                print $s "GET / HTTP/1.0\r\n\r\n";
                local $SIG{ALRM} = sub { die };
                $said = eval { alarm 3; local $/; my $all = <$s>; alarm 0; $all =~ /200 OK/ ? "ok" : "nothing" } || "late";
            }
            printf "%.2f service %s\n", $at, $said;
            select undef, undef, undef, 0.1;
        }' "$1"
}
api >/run/e2e-api &
service "$1" >/run/e2e-service &
wait
