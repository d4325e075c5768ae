# Every container ends, by containerd where it runs.
if systemctl is-active -q containerd.service && [ -x /opt/homectl/bin/ctr ]; then
  for task in $(/opt/homectl/bin/ctr --connect-timeout 5s -n k8s.io tasks list -q 2>/dev/null); do
    timeout 20 /opt/homectl/bin/ctr -n k8s.io tasks delete --force "$task" >/dev/null 2>&1 || :
  done
fi
# What is left of them: children of our shims, then the shims.
for process in /proc/[0-9]*; do
  case $(readlink "$process/exe" 2>/dev/null || :) in
    /opt/homectl/store/*/containerd-shim-runc-v2*)
      kill -KILL $(cat "$process"/task/*/children 2>/dev/null) 2>/dev/null || :
      kill -KILL "${process#/proc/}" 2>/dev/null || :
      ;;
  esac
done
timeout 30 systemctl stop kubepods.slice 2>/dev/null || :
# systemd looks after one hierarchy of control groups; version 1 has more.
find /sys/fs/cgroup -depth -type d -path '*/kubepods.slice*' -exec rmdir {} + 2>/dev/null || :
# Mounts of volumes and containers, the innermost first. The kernel writes spaces in paths as octal.
while read -r _ _ _ _ target _; do
  case $target in
    /var/lib/kubelet/* | /var/lib/containerd/* | /run/containerd/*) echo "$target" ;;
  esac
done </proc/self/mountinfo | sort -r | while read -r target; do
  target=$(printf '%b' "$target")
  umount "$target" 2>/dev/null || umount -l "$target" 2>/dev/null || :
done
# What is still mounted may be a user's data: nothing below is removed then.
left=$(awk '$5 ~ "^/var/lib/(kubelet|containerd)/" { print $5 }' /proc/self/mountinfo)
if [ -n "$left" ]; then
  echo "still mounted, and so nothing was removed:"
  echo "$left"
  exit 1
fi
for ns in /run/netns/cni-*; do
  [ ! -e "$ns" ] || ip netns delete "${ns##*/}" 2>/dev/null || :
done
rm -rf --one-file-system -- /var/log/pods /var/log/containers
if [ -e /etc/systemd/logind.conf.d/99-kubelet.conf ]; then
  rm -f /etc/systemd/logind.conf.d/99-kubelet.conf
  rmdir --ignore-fail-on-non-empty /etc/systemd/logind.conf.d
  systemctl kill --signal=HUP systemd-logind.service 2>/dev/null || :
fi
# Chains and sets of Kubernetes go; rules of others are not read back, so they stay as they are.
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  for table in mangle nat filter; do
    rules=$("$tool-save" -t "$table" 2>/dev/null) || continue
    chains=$(printf '%s\n' "$rules" | sed -nE 's/^:(KUBE-[^ ]*) .*/\1/p')
    [ -n "$chains" ] || continue
    {
      echo "*$table"
      printf '%s\n' "$rules" | sed -nE '/^-A KUBE-/d; s/^-A (.* -[jg] KUBE-.*)/-D \1/p'
      for chain in $chains; do echo "-F $chain"; done
      for chain in $chains; do echo "-X $chain"; done
      echo COMMIT
    } | "$tool-restore" --noflush
  done
done
if command -v ipset >/dev/null; then
  for set in $(ipset list -n 2>/dev/null | sed -nE '/^(inet6:)?(KUBE-|kube-router-)/p'); do ipset destroy "$set" || :; done
fi
# Tables that iptables made for them and that hold nothing any more: no rule, no chain but the hooks', nothing but "accept".
if command -v nft >/dev/null; then
  for family in ip ip6; do
    for table in mangle nat filter; do
      nft list table "$family" "$table" 2>/dev/null | awk '
        /^table / { seen = 1; next }
        /^\tchain / { chains++; next }
        /^\t\ttype .* policy accept;$/ { hooks++; next }
        !/^\t?}$/ && NF { held = 1 }
        END { exit !seen || held || chains != hooks }' || continue
      nft delete table "$family" "$table"
    done
  done
fi
