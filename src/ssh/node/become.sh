# The way to root, run by whatever shell the user logs in with. Everything that it says to homectl is a line
# that begins with a token; what stands between them are the words of sudo or doas.
exec 3>&2 2>&1
unset LANGUAGE
LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
say() { printf '\n@TOKEN@ %s\n' "$1"; }
# Where a cable was cut, whoever was at the other end may be gone without our being told, and a program that waits for their next
# word would wait for ever. So something is said to them now and then: to say it to nobody ends the connection, and with it us.
{
  trap 'kill $!; exit' TERM
  while :; do
    sleep 15 3>&- &
    wait $!
    echo >&3 && kill -0 $$ 2>/dev/null || exit
  done
} </dev/null >/dev/null 2>&1 &
trap "kill $!" EXIT
exec 3>&-
# The program to run as root follows on stdin; as an argument it would fill sudo's log.
program='eval "$(head -c @SIZE@)"'
if [ "$(id -u)" = 0 ]; then
  say root
  sh -c "$program"
  exit
fi
if command -v sudo >/dev/null; then
  say sudo
  sudo -n sh -c "$program" && exit
elif command -v doas >/dev/null; then
  say doas
  doas -n sh -c "$program" && exit
else
  say nothing
  exit 1
fi
say refused
# Nothing read the program, and it will be sent again.
head -c @SIZE@ >/dev/null
read -r answer && [ "$answer" = password ] || exit 1
say again
sudo -k -S -p '@PROMPT@?' sh -c "echo @PROMPT@+; $program" && exit
say refused
