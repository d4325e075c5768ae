# What a machine is like, for comparing it with another moment or another machine: lines "KIND WHAT", no times, no inode numbers.
# "file" lines name every path of what is not a running program's own state; further kinds tell what lives outside of files.
set -eu
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
# What apt, systemd and sudo keep for themselves is left out, and so is what belongs to somebody being logged in.
find /etc /opt /root /home /srv /usr/local /var/lib /var/spool -xdev \( -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/lib/systemd \
  -o -path /var/lib/private/systemd -o -name .sudo_as_admin_successful \) -prune -o -printf 'file %p %y %m %u:%g %l\n' | sort
find /etc -xdev -type f ! -name ld.so.cache ! -name '*-' -print0 | sort -z | xargs -0 sha256sum | sed 's/^/content /'
echo "hostname $(uname -n) $(cat /etc/hostname)"
getent passwd | cut -d: -f1,6,7 | sed 's/^/user /' | sort
getent group | cut -d: -f1 | sed 's/^/group /' | sort
ls -1 /sys/class/net | sed 's/^/link /'
ip -4 route | sed 's/^/route /' | sort
ip -4 rule | sed 's/^/rule /' | sort
awk '{print $5, $9}' /proc/self/mountinfo | grep -v '^/run/user/' | sed 's/^/mount /' | sort
# What has ended and only waits to be reaped is no process any more, what systemd is about to start (its name in brackets) none yet;
# nor is what the system ran for a moment: one that stays is there at every look.
processes() {
  ps -eo pid=,stat=,comm= | awk '$2 !~ /^Z/ { print $1, $3 }' | grep -vE ' (ps|grep|sh|sort|sed|systemd.*|\(.*|sshd.*|agetty|dbus-daemon|awk|sleep|find|apt.*|docker-init)$' | sort || true
}
stay=$(processes)
for _ in 1 2; do
  [ -n "$stay" ] || break
  sleep 0.7
  stay=$(processes | grep -xF "$stay" || true)
done
printf '%s\n' "$stay" | sed -n 's/^[0-9]* /process /p' | sort -u
systemctl list-units --all --plain --no-legend --type=service,timer,socket,target | awk '{print $1}' | grep -E '^(kube|etcd|containerd|homectl|haproxy)' | sed 's/^/unit /' | sort || true
systemctl list-unit-files --no-legend | awk '{print $1, $2}' | grep -E '^(kube|etcd|containerd|homectl)' | sed 's/^/unit-file /' | sort || true
for key in net.ipv4.ip_forward net.ipv4.conf.all.rp_filter net.ipv4.conf.default.rp_filter net.ipv4.conf.all.route_localnet net.bridge.bridge-nf-call-iptables net.netfilter.nf_conntrack_max; do
  [ ! -e "/proc/sys/$(echo "$key" | tr . /)" ] || echo "sysctl $key $(cat "/proc/sys/$(echo "$key" | tr . /)")"
done
if command -v nft >/dev/null; then nft list tables | sed 's/^/nft /' | sort; fi
if command -v ipset >/dev/null; then ipset list -n 2>/dev/null | sed 's/^/ipset /' | sort; fi
