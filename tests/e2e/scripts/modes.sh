# Modes and owners as the CIS benchmark asks for them. stdin: lines "PATTERN MODE OWNER"; a file may be stricter, not laxer.
# Says every file that is not as asked, and every pattern that fits none.
set -eu
while read -r pattern mode owner; do
  found=
  for path in $pattern; do
    [ -e "$path" ] || continue
    found=yes
    set -- $(stat -L -c '%a %U:%G' "$path")
    [ $((0$1 & ~0$mode)) = 0 ] || echo "$path has mode $1, at most $mode is asked for"
    [ "$2" = "$owner" ] || echo "$path belongs to $2, not $owner"
  done
  [ -n "$found" ] || echo "there is no $pattern"
done
