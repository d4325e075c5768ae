# Memory of a node's services, in MiB, one line each: resident and proportional set size of all processes in the unit's control group.
set -eu
export LC_ALL=C
printf 'unit\tRSS MiB\tPSS MiB\n'
total_rss=0 total_pss=0
for unit in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kube-router containerd homectl-overlay homectl-api-proxy; do
  systemctl is-active --quiet "$unit" || continue
  # Only the unit's own processes: a containerd's shims live there too, each pod has one.
  group=$(systemctl show -p ControlGroup --value "$unit")
  rss=0 pss=0
  for pid in $(cat "/sys/fs/cgroup/systemd$group/cgroup.procs" 2>/dev/null || cat "/sys/fs/cgroup$group/cgroup.procs"); do
    [ -r "/proc/$pid/smaps_rollup" ] || continue
    set -- $(awk '/^Rss:/ {r = $2} /^Pss:/ {p = $2} END {print r + 0, p + 0}' "/proc/$pid/smaps_rollup")
    rss=$((rss + $1)) pss=$((pss + $2))
  done
  printf '%s\t%s\t%s\n' "$unit" $((rss / 1024)) $((pss / 1024))
  total_rss=$((total_rss + rss)) total_pss=$((total_pss + pss))
done
printf 'all\t%s\t%s\n' $((total_rss / 1024)) $((total_pss / 1024))
