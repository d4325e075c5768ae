# Holds the lock of the machine for as long as somebody says every few seconds that they are still there.
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec 2>&1 9>>@LOCK@ || exit 1
flock -n 9
case $? in
  0) ;;
  1)
    read -r id who <@LOCK@
    printf '\n@TOKEN@ held by %s\n' "$who"
    exit
    ;;
  *) exit 1 ;;
esac
# A run that was cut off: its last script may still be at work.
exec 8>>@LOCK@.busy || exit 1
if ! flock -w @PATIENCE@ 8; then
  printf '\n@TOKEN@ held by a run that was cut off: its last script has not ended yet\n'
  exit
fi
exec 8>&-
printf '%s %s since %s\n' @ID@ @WHO@ "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >@LOCK@
printf '\n@TOKEN@ locked\n'
while [ "$(timeout @PATIENCE@ head -c 2 9>&-)" = + ]; do
  echo @TOKEN@ +
done
: >@LOCK@
