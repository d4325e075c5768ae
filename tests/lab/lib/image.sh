# The machines' image: a bare Debian server. What homectl needs beyond that (nftables, wireguard-tools, haproxy, …) is left out on purpose.
# shellcheck shell=bash

NODE_PACKAGES=systemd,systemd-sysv,systemd-timesyncd,libpam-systemd,dbus,openssh-server,sudo,iproute2,iputils-ping,procps,kmod,ca-certificates,mount,e2fsprogs,less

image_key() { { echo "$LAB_SUITE $NODE_PACKAGES"; cat "$LAB_HOME/lib/image.sh" "$LAB_HOME/image/hostkeys.service"; } | key; }

# Sets IMAGE; makes it when it is not there.
image_up() {
  IMAGE=homectl-lab:$LAB_SUITE-$(image_key)
  docker image inspect "$IMAGE" >/dev/null 2>&1 && return 0
  local dir=$CACHE/images tar
  tar=$dir/$LAB_SUITE-$(image_key).tar
  if [ ! -s "$tar" ]; then
    need mmdebstrap=mmdebstrap
    mkdir -p "$dir"
    image_make "$tar"
  fi
  docker import "$tar" "$IMAGE" >/dev/null
}

# image_make TAR: a Debian root from the package source that this machine uses itself.
image_make() {
  local tar=$1 log=$1.log setup=$1.setup new=${1%.tar}.new.tar
  say "making a Debian $LAB_SUITE image: a minute, once (log: $log)"
  cat >"$setup" <<'SETUP'
#!/bin/sh
set -e
root=$1
in_root() { chroot "$root" "$@"; }
in_root useradd --create-home --shell /bin/bash --comment 'sudo without password' admin
in_root useradd --create-home --shell /bin/bash --comment 'sudo by password' --groups sudo pw
echo 'pw:homectl' | in_root chpasswd
echo 'admin ALL=(ALL:ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/admin"
chmod 440 "$root/etc/sudoers.d/admin"
# Every machine makes its own of these.
rm -f "$root"/etc/ssh/ssh_host_*
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname" "$root/etc/hosts" "$root/etc/resolv.conf"
: >"$root/etc/hostname"
: >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
in_root systemctl --quiet enable hostkeys.service
# At a time of their own choosing these would hold apt's lock, or the processor, in the middle of a test.
in_root systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service console-getty.service
# Power cuts are not tried here, so dpkg need not wait for the disk.
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/lab"
SETUP
  chmod +x "$setup"
  as_root mmdebstrap --variant=minbase --include="$NODE_PACKAGES" --skip=cleanup/apt/lists \
    --aptopt='Acquire::Check-Valid-Until "false"' \
    --customize-hook="copy-in $LAB_HOME/image/hostkeys.service /etc/systemd/system" \
    --customize-hook="$setup" "$LAB_SUITE" "$new" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "no Debian image" "the whole log is $log; the machine needs a Debian package source that it reaches"
  }
  as_root mv "$new" "$tar"
  rm -f "$setup"
}
