command -v wg >/dev/null || { echo 'wg is not installed yet'; exit 75; }
[ -x /opt/homectl/lib/overlay ] && [ -e /etc/homectl/overlay/link ] || { echo 'the overlay is not set up yet'; exit 75; }
/opt/homectl/lib/overlay check
