# Chains and sets of Kubernetes go; other rules are not read back, so nobody else's are touched.
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  for table in mangle nat filter; do
    rules=$("$tool-save" -t "$table" 2>/dev/null) || continue
    chains=$(printf '%s\n' "$rules" | sed -n 's/^:\(KUBE-ROUTER-[^ ]*\) .*/\1/p')
    [ -n "$chains" ] || continue
    {
      echo "*$table"
      printf '%s\n' "$rules" | sed -n '/^-A KUBE-ROUTER-/d; s/^-A \(.* -[jg] KUBE-ROUTER-.*\)/-D \1/p'
      for chain in $chains; do echo "-F $chain"; done
      for chain in $chains; do echo "-X $chain"; done
      echo COMMIT
    } | "$tool-restore" --noflush
  done
done
if command -v ipset >/dev/null; then
  for set in $(ipset list -n 2>/dev/null | grep -E '^(inet6:)?(KUBE-|kube-router-)' || :); do ipset destroy "$set"; done
fi
# Chains and sets of Kubernetes go; other rules are not read back, so nobody else's are touched.
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  for table in mangle nat filter; do
    rules=$("$tool-save" -t "$table" 2>/dev/null) || continue
    chains=$(printf '%s\n' "$rules" | sed -n 's/^:\(KUBE-NWPLCY-[^ ]*\) .*/\1/p')
    [ -n "$chains" ] || continue
    {
      echo "*$table"
      printf '%s\n' "$rules" | sed -n '/^-A KUBE-NWPLCY-/d; s/^-A \(.* -[jg] KUBE-NWPLCY-.*\)/-D \1/p'
      for chain in $chains; do echo "-F $chain"; done
      for chain in $chains; do echo "-X $chain"; done
      echo COMMIT
    } | "$tool-restore" --noflush
  done
done
if command -v ipset >/dev/null; then
  for set in $(ipset list -n 2>/dev/null | grep -E '^(inet6:)?(KUBE-|kube-router-)' || :); do ipset destroy "$set"; done
fi
# Chains and sets of Kubernetes go; other rules are not read back, so nobody else's are touched.
for tool in iptables ip6tables; do
  command -v "$tool-save" >/dev/null || continue
  for table in mangle nat filter; do
    rules=$("$tool-save" -t "$table" 2>/dev/null) || continue
    chains=$(printf '%s\n' "$rules" | sed -n 's/^:\(KUBE-POD-FW-[^ ]*\) .*/\1/p')
    [ -n "$chains" ] || continue
    {
      echo "*$table"
      printf '%s\n' "$rules" | sed -n '/^-A KUBE-POD-FW-/d; s/^-A \(.* -[jg] KUBE-POD-FW-.*\)/-D \1/p'
      for chain in $chains; do echo "-F $chain"; done
      for chain in $chains; do echo "-X $chain"; done
      echo COMMIT
    } | "$tool-restore" --noflush
  done
done
if command -v ipset >/dev/null; then
  for set in $(ipset list -n 2>/dev/null | grep -E '^(inet6:)?(KUBE-|kube-router-)' || :); do ipset destroy "$set"; done
fi
