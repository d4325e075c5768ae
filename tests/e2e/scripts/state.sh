# How a machine stands, as other programs tell it: lines without times and inode numbers, so that what was mended is as it was before.
set -eu
export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
roots='/etc /opt /var/lib/homectl /var/lib/kubelet/config.yaml /var/lib/kubelet/pki'
# What programs of the distribution write anew when an account or a package comes and goes is told by getent and dpkg-query.
find $roots -xdev \( -path /etc/ssl/certs -o -path /var/lib/homectl/snapshots -o -name '*-' -o -name ld.so.cache \) -prune -o -printf 'file %p %y %m %u:%g %l\n' | sort
stat -c 'file %n %F %a %U:%G' /var/lib/etcd /var/lib/kubelet /var/lib/containerd 2>/dev/null || true
find $roots -xdev \( -path /etc/ssl/certs -o -path /var/lib/homectl/snapshots -o -name '*-' -o -name ld.so.cache -o -name .stamp \) -prune -o -type f -size -4096k -print0 |
  sort -z | xargs -0 sha256sum | sed 's/^/content /'
echo "hostname $(uname -n)"
getent passwd | sed 's/^/user /'
getent group | sed 's/^/group /'
dpkg-query -W -f 'package ${db:Status-Abbrev} ${Package}\n'
for unit in etcd.service containerd.service haproxy.service $(systemctl list-unit-files --no-legend --plain 'homectl-*' 'kube-*' 'kubelet.*' | awk '{ print $1 }'); do
  case $unit in *.slice) continue ;; esac
  systemctl show -p Id,LoadState,ActiveState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload -- "$unit" | tr '\n' ' ' | sed 's/^/unit /'
  echo
done | grep -vE 'Id=homectl-(approver|renewal|etcd-snapshot|api-wait)\.service|ActiveState=inactive.*UnitFileState= ' || true
wg show wg0 dump | awk 'NR == 1 { print "wg", $1, $3 } NR > 1 { print "peer", $1, $4, $8 }' | sort
ip -4 address show dev wg0 | awk '$1 == "inet" { print "address", $2 }'
ip -4 route show dev wg0 | sed 's/^/route /' | sort
nft -s list table inet homectl | sed 's/^/nft /'
for key in net.ipv4.ip_forward kernel.panic vm.overcommit_memory fs.inotify.max_user_instances; do
  echo "sysctl $key $(cat "/proc/sys/$(echo "$key" | tr . /)")"
done
