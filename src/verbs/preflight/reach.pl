# Listens where WireGuard will, sends to where its peers will listen, and answers: both at once, as WireGuard does.
use strict;
use warnings;
use Socket qw(:DEFAULT :addrinfo inet_pton pack_sockaddr_in6 IPPROTO_IPV6 IPV6_V6ONLY);

my ($nonce, $me, $port, $ticks, @peers) = @ARGV;
my ($socket, %address, %dials, %heard, %echoed, @said);
my $six = socket($socket, AF_INET6, SOCK_DGRAM, 0);
$six ? setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 0) : socket($socket, AF_INET, SOCK_DGRAM, 0) or die "no socket: $!";
my $any = sub { $six ? pack_sockaddr_in6($_[0], inet_pton(AF_INET6, "::")) : pack_sockaddr_in($_[0], INADDR_ANY) };
unless (bind($socket, $any->($port))) {
    # Somebody has the port, our own overlay perhaps: then we only ask.
    push @said, "taken $!";
    bind($socket, $any->(0)) or die "no port: $!";
}
for (@peers) {
    my ($name, $host, $to) = /^([^=]+)=(?:\[?(.*?)\]?:(\d+))?$/ or next;
    $dials{$name} = defined $host;
    next unless defined $host;
    my ($error, @found) = getaddrinfo($host, $to, { socktype => SOCK_DGRAM });
    @found = grep { $_->{family} == AF_INET || $six } @found;
    if ($error || !@found) { push @said, "unresolved $name $host: " . ($error || "no address"); next }
    my $at = $found[0]{addr};
    if ($six && $found[0]{family} == AF_INET) {
        my ($p, $ip) = sockaddr_in($at);
        $at = pack_sockaddr_in6($p, inet_pton(AF_INET6, "::ffff:" . inet_ntoa($ip)));
    }
    $address{$name} = $at;
}
my $missing = sub { grep { $dials{$_} ? !$echoed{$_} : !$heard{$_} } keys %dials };
my ($linger, %unsent) = (5);
for my $tick (1 .. $ticks) {
    for my $name ($tick % 2 ? grep { !$echoed{$_} } keys %address : ()) {
        defined send($socket, "homectl $nonce ping $me", 0, $address{$name}) or $unsent{$name} = "$!";
    }
    for (1 .. 50) {
        my $ready = "";
        vec($ready, fileno($socket), 1) = 1;
        last unless select($ready, undef, undef, 0.2) > 0;
        my $from = recv($socket, my $data, 256, 0);
        next unless defined $from && $data =~ /^homectl \Q$nonce\E (ping|echo) ([a-z0-9-]+)$/ && exists $dials{$2};
        $heard{$2} = 1;
        if ($1 eq "ping") { send($socket, "homectl $nonce echo $me", 0, $from) } else { $echoed{$2} = 1 }
    }
    last unless $missing->() || --$linger;
}
push @said, map("heard $_", sort keys %heard), map("echoed $_", sort keys %echoed), map("unsent $_ $unsent{$_}", sort keys %unsent);
print map("reach=$_\n", @said, "done");
