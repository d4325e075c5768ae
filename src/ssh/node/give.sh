# Gives the bytes of a file, after a line that says how many.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
if size=$(stat -L -c %s @FROM@ 2>&1 && if [ -d @FROM@ ]; then echo 'it is a directory' && exit 1; fi) && exec 3<@FROM@; then
  printf '\n@TOKEN@ ready %s\n' "$size"
  head -c "$size" <&3
  printf '\n@TOKEN@ done %s\n' "$?"
else
  printf '\n@TOKEN@ ready -\n%s\n@TOKEN@ done 1\n' "$size"
fi
