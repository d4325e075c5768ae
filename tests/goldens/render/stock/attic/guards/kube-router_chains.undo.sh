# Chains and sets of Kubernetes go; rules of others are not read back, so they stay as they are.
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  for table in mangle nat filter; do
    rules=$("$tool-save" -t "$table" 2>/dev/null) || continue
    chains=$(printf '%s\n' "$rules" | sed -nE 's/^:(KUBE-(ROUTER|NWPLCY|POD-FW)-[^ ]*) .*/\1/p')
    [ -n "$chains" ] || continue
    {
      echo "*$table"
      printf '%s\n' "$rules" | sed -nE '/^-A KUBE-(ROUTER|NWPLCY|POD-FW)-/d; s/^-A (.* -[jg] KUBE-(ROUTER|NWPLCY|POD-FW)-.*)/-D \1/p'
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
