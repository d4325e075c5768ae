[ ! -x /opt/homectl/lib/firewall ] || /opt/homectl/lib/firewall unload
