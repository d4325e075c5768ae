# The machine the lab runs on: packages it lacks, sysctls that all machines share with it.
# shellcheck shell=bash

# need PROGRAM=PACKAGE…: installs what is missing, in one go.
need() {
  local pair missing=()
  for pair; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing on this machine: ${missing[*]}"
  command -v apt-get >/dev/null || die "missing here: ${missing[*]}" "install them; only Debian's package names are known to the lab"
  as_root apt-get -qq update >&2 || say "apt-get update failed; trying with the lists that are there"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get could not install ${missing[*]}" "see its message above"
}

# Machines in containers have no kernel of their own: kernel.* and vm.* which one of them sets hold for this machine too.
sysctl_values() {
  find /proc/sys/kernel /proc/sys/vm -type f -perm -0600 \
    ! -path '*/random/*' ! -name 'ns_last_pid' ! -name 'hostname' ! -name 'domainname' ! -name 'drop_caches' \
    ! -name 'compact_memory' ! -name 'stat_refresh' ! -name 'cad_pid' -print0 |
    xargs -0 grep -sH '' | sort || true
}

sysctls_save() {
  local file=$CACHE/engine/sysctls
  [ -s "$file" ] || sysctl_values >"$file"
}

sysctls_restore() {
  local file=$CACHE/engine/sysctls path value
  [ -s "$file" ] || return 0
  while IFS=: read -r path value; do
    say "restoring $path to '$value'"
    printf '%s\n' "$value" | as_root tee "$path" >/dev/null 2>&1 || say "could not restore $path; set it to '$value' by hand"
  done < <(comm -23 "$file" <(sysctl_values))
  rm -f "$file"
}
