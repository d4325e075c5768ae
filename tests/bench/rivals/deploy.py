"""What homectl looks after on a node, as far as pyinfra's operations can say it; see site.yml."""

from pyinfra import host
from pyinfra.operations import apt, files, server, systemd

of = host.data.resources

apt.packages(name="packages", packages=of["packages"])
server.hostname(name="hostname", hostname=host.name)
for user in host.loop(of["users"]):
    server.user(name="users", user=user["name"], system=True, shell=user["shell"], home=user["home"], create_home=False, ensure_home=False)
for it in host.loop(of["dirs"]):
    files.directory(name="directories", path=it["path"], mode=it["mode"], user=it["owner"], group=it["group"])
for path in host.loop(of["programs"]):
    # As there is no operation that only looks: of this mode, under a path that names its sum.
    files.file(name="programs", path=path)
for it in host.loop(of["links"]):
    files.link(name="links", path=it["path"], target=it["to"])
for it in host.loop(of["files"]):
    source = f"{host.data.files}/{host.name}{it['path']}"
    files.put(
        name="files", src=source, dest=it["path"], mode=it["mode"], user=it["owner"], group=it["group"],
        add_deploy_dir=False, create_remote_dir=False,
    )
for key, value in host.loop(of["sysctls"].items()):
    server.sysctl(name="kernel settings", key=key, value=value)
for unit in host.loop(of["units"]):
    if not unit["masked"]:
        systemd.service(name="services", service=unit["name"], running=unit.get("state") == "started", enabled=unit.get("enabled"))
