# The programs, laid out as upstream's download sites have them: https://HOST/PATH is MIRROR/HOST/PATH.
# They come from the project's shared folder, else from upstream, else they are built from Go modules (build/programs.sh).
# shellcheck shell=bash

MIRROR=$CACHE/mirror
BUILT=$CACHE/bin/built
ARCH=amd64

# Prepared archives, and the sums that they must have.
prepared_dir() {
  local dir common
  # A linked work tree lies elsewhere: the folder is beside the main one.
  common=$(git -C "$REPO" rev-parse --path-format=absolute --git-common-dir 2>/dev/null || true)
  for dir in "${HOMECTL_SHARED:-}" "$REPO/../shared" "${common:+$common/../../shared}"; do
    [ -n "$dir" ] && [ -f "$dir/lab/artifacts/SHA256SUMS" ] && readlink -f "$dir/lab/artifacts" && return 0
  done
  return 1
}

# Sets BIN, the folder with one sub-folder for each program and version; empty where upstream's own files fill the mirror.
programs_up() {
  local from key archive
  if from=$(prepared_dir); then
    key=$(key <"$from/SHA256SUMS")
    BIN=$CACHE/bin/$key
    [ ! -f "$BIN/.complete" ] || return 0
    need xz=xz-utils
    say "unpacking the prepared programs (once)"
    (cd "$from" && sha256sum --quiet -c SHA256SUMS >&2) || die "the archives in $from are not what SHA256SUMS says" "get them anew"
    rm -rf "$BIN"
    mkdir -p "$BIN"
    while read -r _ archive; do
      xz -dc --memlimit=2GiB "$from/${archive#\*}" | tar x --no-same-owner -C "$BIN"
    done <"$from/SHA256SUMS"
    touch "$BIN/.complete"
  elif upstream_answers; then
    BIN=
  else
    BIN=$BUILT
    build_programs
  fi
}

# build_programs [NAME…]
build_programs() {
  need gcc=gcc jq=jq pkg-config=pkg-config
  [ -e /usr/include/seccomp.h ] || need seccomp.h=libseccomp-dev
  say "building programs from their Go modules: up to half an hour, once"
  "$LAB_HOME/build/programs.sh" "$BUILT" "$@"
}

# mirror_up [NAME…]: fills the mirror; what is named is built besides, for instance v1.35.4, to upgrade from.
mirror_up() {
  local id new=$MIRROR.new entry
  programs_up
  [ $# = 0 ] || build_programs "$@"
  if [ -z "$BIN" ]; then
    mirror_download
    [ ! -d "$BUILT" ] || mirror_lay "$BUILT" "$MIRROR"
    return
  fi
  id=$({ cat "$LAB_HOME/lib/artifacts.sh"; { find "$BIN" "$BUILT" -type f -printf "%p %s %T@\n" 2>/dev/null || true; } | sort; } | key)
  [ "$(cat "$MIRROR/.id" 2>/dev/null)" != "$id" ] || return 0
  say "laying out the mirror (once)"
  rm -rf "$new"
  [ ! -d "$BUILT" ] || [ "$BIN" = "$BUILT" ] || mirror_lay "$BUILT" "$new"
  mirror_lay "$BIN" "$new"
  # The folder itself stays, since running labs serve it.
  mkdir -p "$MIRROR"
  rm -rf "$MIRROR/.id" "${MIRROR:?}"/*
  for entry in "$new"/*; do mv "$entry" "$MIRROR/"; done
  rmdir "$new"
  echo "$id" >"$MIRROR/.id"
}

# sums DIR FILE: a line of sha256sum
sums() { (cd "$1" && sha256sum "$2"); }

# pack FOLDER PREFIX ARCHIVE [MEMBER]: the same bytes for the same content, whenever and by whomever it is made.
pack() {
  tar c -C "$1" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --transform "s,^\.,$2," "${4:-.}" |
    if command -v pigz >/dev/null; then pigz -n -1; else gzip -n -1; fi >"$3"
}

mirror_lay() {
  local bin=$1 out=$2 dir v o n f
  for dir in "$bin"/*/; do
    dir=${dir%/}
    v=${dir##*-}
    case ${dir##*/} in
      v1.*)
        v=${dir##*/}
        o=$out/dl.k8s.io/release/$v/bin/linux/$ARCH
        mkdir -p "$o"
        for f in "$dir"/*; do
          n=${f##*/}
          ln "$f" "$o/$n" 2>/dev/null || cp --reflink=auto "$f" "$o/$n"
          sums "$o" "$n" | awk '{printf "%s", $1}' >"$o/$n.sha256"
        done
        f=${v#v}
        printf '%s' "$v" >"$out/dl.k8s.io/release/stable-${f%.*}.txt"
        ;;
      etcd-v*)
        o=$out/github.com/etcd-io/etcd/releases/download/$v n=etcd-$v-linux-$ARCH
        mkdir -p "$o"
        pack "$dir" "$n" "$o/$n.tar.gz"
        sums "$o" "$n.tar.gz" >"$o/SHA256SUMS"
        ;;
      containerd-v*)
        o=$out/github.com/containerd/containerd/releases/download/$v n=containerd-${v#v}-linux-$ARCH.tar.gz
        mkdir -p "$o"
        pack "$dir" bin "$o/$n"
        sums "$o" "$n" >"$o/$n.sha256sum"
        ;;
      runc-v*)
        o=$out/github.com/opencontainers/runc/releases/download/$v n=runc.$ARCH
        mkdir -p "$o"
        ln "$dir/runc" "$o/$n" 2>/dev/null || cp --reflink=auto "$dir/runc" "$o/$n"
        sums "$o" "$n" >"$o/runc.sha256sum"
        ;;
      cni-v*)
        o=$out/github.com/containernetworking/plugins/releases/download/$v n=cni-plugins-linux-$ARCH-$v.tgz
        mkdir -p "$o"
        pack "$dir" . "$o/$n"
        sums "$o" "$n" >"$o/$n.sha256"
        ;;
      helm-v*)
        o=$out/get.helm.sh n=helm-$v-linux-$ARCH.tar.gz
        mkdir -p "$o"
        pack "$dir" "linux-$ARCH" "$o/$n"
        sums "$o" "$n" >"$o/$n.sha256sum"
        awk '{printf "%s", $1}' "$o/$n.sha256sum" >"$o/$n.sha256"
        ;;
      kube-router-v*)
        o=$out/github.com/cloudnativelabs/kube-router/releases/download/$v n=kube-router_${v#v}_linux_$ARCH.tar.gz
        mkdir -p "$o"
        pack "$dir" . "$o/$n" kube-router
        sums "$o" "$n" >"$o/checksums.txt"
        ;;
    esac
  done
}

# Upstream's own files, where there is a way to them.
upstream_answers() { curl -fsS -o /dev/null --connect-timeout 3 --max-time 10 "https://dl.k8s.io/release/stable.txt" 2>/dev/null; }

mirror_download() {
  local url file sum
  say "filling the mirror from upstream"
  mkdir -p "$MIRROR"
  while read -r url sum; do
    for url in "$url" "$sum"; do
      file=$MIRROR/${url#https://}
      [ ! -s "$file" ] || continue
      mkdir -p "${file%/*}"
      curl -fsSL --retry 3 -o "$file.part" "$url" || die "cannot download $url" "try again, or put prepared archives into ../shared/lab/artifacts"
      mv "$file.part" "$file"
    done
  done < <(upstream_files)
  while read -r url sum; do
    mirror_check "$MIRROR/${url#https://}" "$MIRROR/${sum#https://}"
  done < <(upstream_files)
}

# The sum files hold a bare sum, or lines of sums and names.
mirror_check() {
  local want have
  want=$(awk -v n="${1##*/}" 'NF == 1 {print $1} NF > 1 && ($2 == n || $2 == "*" n || $2 == "./" n) {print $1}' "$2")
  have=$(sha256sum <"$1" | cut -d' ' -f1)
  [ "$want" = "$have" ] || {
    rm -f "$1" "$2"
    die "$1 has the sum $have, upstream says '$want'" "both files are removed; try again"
  }
}

upstream_files() {
  local kubernetes=https://dl.k8s.io/release/v1.36.3/bin/linux/$ARCH github=https://github.com program release
  for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
    echo "$kubernetes/$program $kubernetes/$program.sha256"
  done
  for release in v3.6.16 v3.6.8; do
    echo "$github/etcd-io/etcd/releases/download/$release/"{etcd-"$release-linux-$ARCH".tar.gz,SHA256SUMS}
  done
  echo "$github/containerd/containerd/releases/download/v2.3.7/containerd-2.3.7-linux-$ARCH.tar.gz"{,.sha256sum}
  echo "$github/opencontainers/runc/releases/download/v1.4.3/runc."{"$ARCH",sha256sum}
  echo "$github/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-$ARCH-v1.9.1.tgz"{,.sha256}
  echo "https://get.helm.sh/helm-v4.3.1-linux-$ARCH.tar.gz"{,.sha256sum}
  echo "$github/cloudnativelabs/kube-router/releases/download/v2.11.1/"{"kube-router_2.11.1_linux_$ARCH.tar.gz",checksums.txt}
}

lab_artifacts() {
  check_settings
  need curl=curl
  with_lock cache mirror_up "$@"
  echo "$MIRROR"
}
