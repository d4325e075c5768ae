if command -v nft >/dev/null; then
  for family in ip ip6; do
    ! nft list table "$family" kube-proxy >/dev/null 2>&1 || nft delete table "$family" kube-proxy
  done
fi
