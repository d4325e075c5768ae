command -v nft >/dev/null || { echo 'nft is not installed yet'; exit 75; }
[ -x /opt/homectl/lib/firewall ] && [ -e /etc/homectl/firewall.nft ] || { echo 'the table is not written yet'; exit 75; }
/opt/homectl/lib/firewall check
