if [ -s /var/lib/homectl/hostname ]; then
set_hostname() {
  printf '%s\n' "$1" >/etc/.hostname.homectl
  chmod 0644 /etc/.hostname.homectl
  sync /etc/.hostname.homectl
  mv -f /etc/.hostname.homectl /etc/hostname 2>/dev/null || { cat /etc/.hostname.homectl >/etc/hostname; rm -f /etc/.hostname.homectl; }
  hostname "$1" 2>/dev/null || printf '%s\n' "$1" >/proc/sys/kernel/hostname
}
set_hostname "$(cat /var/lib/homectl/hostname)"
rm -f /var/lib/homectl/hostname
fi
