# One look at a host: key=value lines, nothing is written. Every question is allowed to fail on its own.
say() { printf '%s=%s\n' "$1" "$2"; }
one() { head -n 1 2>/dev/null | tr -d '\r'; }
[ -r /etc/os-release ] && sed -n 's/^\(ID\|ID_LIKE\|VERSION_ID\|PRETTY_NAME\)=/os.\1=/p' /etc/os-release | tr -d '"'
say machine "$(uname -m)"
say userland "$(dpkg --print-architecture 2>/dev/null)"
say kernel "$(uname -r)"
say hostname "$(uname -n)"
say machine_id "$(cat /etc/machine-id 2>/dev/null)"
say container "$(systemd-detect-virt --container 2>/dev/null || true)"
say systemd_version "$(systemctl --version 2>/dev/null | awk 'NR == 1 { print $2 }')"
say init "$(cat /proc/1/comm 2>/dev/null)"
say cgroup "$(stat -fc %T /sys/fs/cgroup 2>/dev/null)"
if [ -r /sys/fs/cgroup/cgroup.controllers ]; then
    grep -qw memory /sys/fs/cgroup/cgroup.controllers && say memory_controller yes
else
    awk '$1 == "memory" && $4 == 1 { print "memory_controller=yes" }' /proc/cgroups 2>/dev/null
fi
for f in /boot/cmdline.txt /boot/firmware/cmdline.txt; do
    [ -f "$f" ] && say boot_cmdline "$f"
done
say caps "$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)"
[ -w /proc/sys/net/netfilter/nf_conntrack_max ] && ! grep -q ' /proc/sys.* ro,' /proc/self/mounts && say conntrack writable
tunables="kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes vm/overcommit_memory vm/panic_on_oom"
say container_sysctl "$(for k in $tunables; do v=$(cat "/proc/sys/$k" 2>/dev/null) && printf '%s:%s ' "$k" "$v"; done)"
say locked_sysctl "$(for k in $tunables fs/inotify/max_user_instances fs/inotify/max_user_watches; do [ -e "/proc/sys/$k" ] && ! [ -w "/proc/sys/$k" ] && printf '%s ' "$k"; done)"
if [ -d /sys/module/wireguard ] || modprobe -n -q wireguard 2>/dev/null; then say wireguard kernel; fi
[ -r /proc/modules ] && say modules yes
say resolv "$(sed -n 's/^nameserver[[:space:]]*//p' /etc/resolv.conf 2>/dev/null | tr '\n' ' ')"
say resolved "$(sed -n 's/^nameserver[[:space:]]*//p' /run/systemd/resolve/resolv.conf 2>/dev/null | tr '\n' ' ')"
say docker_upstream "$(sed -n 's/^# ExtServers: \[\(.*\)\]$/\1/p' /etc/resolv.conf 2>/dev/null | one)"
say search "$(sed -n 's/^search[[:space:]]*//p' /etc/resolv.conf 2>/dev/null | one)"
[ -s /etc/hosts ] && say hosts yes
[ "$(wc -l </proc/swaps)" -gt 1 ] && say swap yes
say memory_kib "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
for d in / /etc /opt /var/lib /var/log; do
    say "free.$d" "$(df -Pk "$d" 2>/dev/null | awk 'NR == 2 { print $4 }')"
done
ip -o -4 addr show scope global 2>/dev/null | awk '{ sub("/.*", "", $4) }
    $2 == "wg0" { print "overlay=" $4 }
    $2 !~ /^(wg0|cni0|veth)/ { print "addr." $2 "=" $4 }'
say clock "$(date +%s)"
[ -r /etc/homectl/cluster ] && sed -n 's/^cluster=/cluster=/p; s/^node=/cluster_node=/p' /etc/homectl/cluster
[ -r /etc/homectl/came-up ] && sed -n 's/^\([a-z-]*\) \(v[^ ]*\)$/came_up.\1=\2/p' /etc/homectl/came-up
[ -d /etc/homectl ] && [ -z "$(ls -A /etc/homectl 2>/dev/null)" ] && say bare yes
# Whom it trusts, who signs, what Secrets are encrypted with: sums, one for each certificate or key.
sums() { # KEY FILE: of each certificate in it
    [ -r "$2" ] && awk '/^-----BEGIN CERT/ { to = "sha256sum" } to { print | to } /^-----END CERT/ { close(to); to = "" }' "$2" | sed "s/^/$1=/; s/ .*//"
}
sums authority /etc/kubernetes/pki/ca.crt
sums signer /etc/kubernetes/pki/ca-signing.crt
if [ -r /etc/kubernetes/encryption.yaml ]; then
    sed -n 's/^ *- name: key\([0-9]*\)$/key=\1/p' /etc/kubernetes/encryption.yaml
    awk '$1 == "secret:" { printf "%s", $2 | "sha256sum"; close("sha256sum") }' /etc/kubernetes/encryption.yaml | sed 's/^/key_sum=/; s/ .*//'
fi
for p in kubelet kube-apiserver etcd; do
    l=$(readlink "/opt/homectl/bin/$p" 2>/dev/null) && say "program.$p" "$l"
done
# A lock that is behind does not know the program by its sum.
[ -x /opt/homectl/bin/etcd ] && say etcd_version "$(timeout 5 /opt/homectl/bin/etcd --version 2>/dev/null | sed -n 's/^etcd Version: //p')"
if [ -d /var/lib/etcd/member ]; then
    say etcd_data yes
else
    # A restore that was cut between its two renames: what was there lies beside, and this says where.
    d=$(cat /var/lib/etcd/aside 2>/dev/null) && [ -n "$d" ] && [ -d "$d" ] || d=/var/lib/etcd/restored
    # Or before its last one: what it made lies beside, whole.
    [ -d "$d" ] && say etcd_aside "$d"
fi
id=$(cat /var/lib/homectl/etcd-cluster-id 2>/dev/null)
say etcd_cluster_id "$id"
# Where it comes from a restore, that has left a note of itself.
say etcd_origin "$(cat "/var/lib/etcd/origin-$id" 2>/dev/null)"
[ -r /etc/homectl/overlay/wg0.conf ] && sed -n 's/^# \([^ ]*\)$/peer=\1/p' /etc/homectl/overlay/wg0.conf
serving=/var/lib/kubelet/pki/kubelet-server-current.pem
said=$([ -e $serving ] && openssl x509 -in $serving -noout -checkend 0 -ext subjectKeyIdentifier,authorityKeyIdentifier 2>/dev/null) &&
    printf '%s\n' "$said" | sed -n 's/^ *\(keyid:\)\{0,1\}\([0-9A-F:]\{20,\}\)$/serving=\2/p'
# Who listens: /proc needs no extra program. Column 4 is the state (0A listens), 2 the local address:port in hex.
awk 'FNR > 1 && $4 == "0A" { n = split($2, a, ":"); print "listen=" a[n] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u
# Other people's engines: unit files and programs that would fight ours.
for u in k3s k3s-agent k0scontroller k0sworker rke2-server rke2-agent microk8s snap.microk8s.daemon-kubelite docker crio kubelet containerd etcd kube-apiserver; do
    for d in /etc/systemd/system /usr/lib/systemd/system /lib/systemd/system /run/systemd/system; do
        f=$d/$u.service
        [ -e "$f" ] || continue
        grep -qs '/opt/homectl/' "$f" && continue
        say "foreign.$u" "$f ($(systemctl is-active "$u.service" 2>/dev/null | one))"
        break
    done
done
# Links of the names that ours have, on a machine that is not ours yet.
if ! [ -e /etc/homectl/cluster ]; then
    for l in wg0 cni0; do
        [ -e "/sys/class/net/$l" ] && say "foreign.$l" "the network interface $l exists"
    done
    [ -e /etc/wireguard/wg0.conf ] && say foreign.wg0 "/etc/wireguard/wg0.conf exists"
fi
systemctl is-active -q haproxy.service 2>/dev/null && say foreign.haproxy "haproxy.service is active"
[ -e /etc/kubernetes/manifests ] && ls /etc/kubernetes/manifests/*.yaml >/dev/null 2>&1 && say foreign.kubeadm "/etc/kubernetes/manifests holds static pods"
for f in ufw firewalld; do
    systemctl is-active -q "$f.service" 2>/dev/null && say "firewall.$f" active
done
say end yes
