# The one root shell. Every request is a line (token, number, encoding, bytes, lock) and the script itself;
# every reply is what the script prints and a line with token, number and status.
unset IFS ENV BASH_ENV CDPATH LANGUAGE TMPDIR GZIP TAR_OPTIONS GREP_OPTIONS
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C TZ=UTC
export PATH HOME LC_ALL TZ
umask 022
hc_lock_file=@LOCK@
cd /
{
  printf '\n@TOKEN@ ready\n'
  while read -r hc_token hc_number hc_encoding hc_bytes hc_lock; do
    [ "$hc_token" = @TOKEN@ ] || exit 1
    case $hc_encoding in
      plain) hc_script=$(head -c "$hc_bytes") ;;
      gzip) hc_script=$(head -c "$hc_bytes" | gzip -dc) ;;
      *) exit 1 ;;
    esac
    # A script that was cut off on its way must not begin.
    case $hc_script in
      *'#@TOKEN@') ;;
      *) exit 1 ;;
    esac
    if [ "$hc_lock" = - ]; then
      (eval "$hc_script") </dev/null 2>&1
    else
      # Whoever takes the lock after us waits until what we run has ended. What a script leaves running has no part in it.
      exec 8>>@LOCK@.busy && flock 8 || exit 1
      hc_holder=
      read -r hc_holder hc_rest 2>/dev/null <@LOCK@
      if [ "$hc_holder" != "$hc_lock" ]; then
        exec 8>&-
        printf '\n@TOKEN@ %s unlocked\n' "$hc_number"
        continue
      fi
      (eval "$hc_script") </dev/null 2>&1 8>&-
    fi
    hc_status=$?
    exec 8>&-
    printf '\n@TOKEN@ %s %s\n' "$hc_number" "$hc_status"
  done
} 2>&1 | {
  # When the other end is gone a running script must get to its end: somebody goes on reading what it prints.
  cat
  exec cat >/dev/null
}
