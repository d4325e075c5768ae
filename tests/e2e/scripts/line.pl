# One TCP connection between two machines, used fifty times a second until /run/e2e-hang-up is there.
#   line.pl listen ADDRESS   answers every line of the first who calls
#   line.pl call ADDRESS     calls once; each answer is a line in /run/e2e-line: seconds since the boot, and the number of the line
# The caller ends with an error when the connection does.
use strict;
use IO::Socket::INET;

my ($what, $address) = @ARGV;
sub now { open my $f, "<", "/proc/uptime"; (split " ", <$f>)[0] }

if ($what eq "listen") {
    my $door = IO::Socket::INET->new(LocalAddr => $address, LocalPort => 9999, Listen => 1, ReuseAddr => 1) or die "listen: $!";
    my $line = $door->accept or die "accept: $!";
    $line->autoflush(1);
    while (my $said = <$line>) { print $line $said }
    exit;
}
my $line = IO::Socket::INET->new(PeerAddr => $address, PeerPort => 9999, Timeout => 5) or die "call: $!";
$line->autoflush(1);
open my $log, ">", "/run/e2e-line" or die;
$log->autoflush(1);
my $number = 0;
until (-e "/run/e2e-hang-up") {
    print $line ++$number, "\n";
    my $said = <$line>;
    defined $said && $said == $number or do { print $log "lost: $!\n"; exit 1 };
    print $log now(), " $number\n";
    select undef, undef, undef, 0.02;
}
print $log "hung up\n";
