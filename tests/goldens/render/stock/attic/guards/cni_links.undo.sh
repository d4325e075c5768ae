for link in /sys/class/net/cni0/brif/*; do
  [ ! -e "$link" ] || ip link del "${link##*/}"
done
[ ! -e /sys/class/net/cni0 ] || ip link del cni0
if command -v nft >/dev/null; then
  for family in ip ip6; do
    ! nft list table "$family" cni_hostport >/dev/null 2>&1 || nft delete table "$family" cni_hostport
  done
fi
