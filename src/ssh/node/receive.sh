# Takes the bytes that follow into a new file, whole or not at all.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
printf '\n@TOKEN@ ready\n'
(
  set -C
  umask 077
  exec 3>@TO@ || exit 1
  if cat >&3 && [ "$(stat -c %s @TO@)" = @BYTES@ ]; then
    exit
  fi
  rm -f @TO@
  exit 1
) 2>&1
printf '\n@TOKEN@ done %s\n' "$?"
