[ ! -x /opt/homectl/lib/overlay ] || /opt/homectl/lib/overlay down
