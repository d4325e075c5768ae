# OCI images from files, put into a registry over its HTTP interface: no builder, and the same digest for the same content.
# shellcheck shell=bash

# oci_push REGISTRY NAME:TAG ROOT ENTRYPOINT USER: ROOT is the folder that becomes the image's one layer.
oci_push() {
  local registry=$1 name=${2%:*} tag=${2##*:} root=$3 entrypoint=$4 user=$5 work diff layer config manifest size
  work=$(mktemp -d -p "$CACHE")
  tar c -C "$root" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -f "$work/layer.tar" .
  diff=sha256:$(sha256sum <"$work/layer.tar" | cut -d' ' -f1)
  gzip -n -1 "$work/layer.tar"
  layer=$(oci_blob "$registry" "$name" "$work/layer.tar.gz")
  size=$(stat -c %s "$work/layer.tar.gz")
  jq -cnS --arg diff "$diff" --arg entrypoint "$entrypoint" --arg user "$user" '{
    architecture: "amd64", os: "linux", created: "1970-01-01T00:00:00Z",
    config: {Entrypoint: [$entrypoint], User: $user, WorkingDir: "/", Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
    rootfs: {type: "layers", diff_ids: [$diff]},
    history: [{created: "1970-01-01T00:00:00Z", created_by: "homectl lab"}]}' >"$work/config"
  config=$(oci_blob "$registry" "$name" "$work/config")
  jq -cnS --arg config "$config" --argjson configsize "$(stat -c %s "$work/config")" --arg layer "$layer" --argjson size "$size" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $config, size: $configsize},
    layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: $layer, size: $size}]}' >"$work/manifest"
  manifest=sha256:$(sha256sum <"$work/manifest" | cut -d' ' -f1)
  oci_manifest "$registry" "$name" "$manifest" application/vnd.oci.image.manifest.v1+json "$work/manifest"
  # Upstream's tags name an index of platforms, and so do these.
  jq -cnS --arg digest "$manifest" --argjson size "$(stat -c %s "$work/manifest")" '{
    schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
      platform: {architecture: "amd64", os: "linux"}}]}' >"$work/index"
  oci_manifest "$registry" "$name" "$tag" application/vnd.oci.image.index.v1+json "$work/index"
  rm -rf "$work"
}

# oci_blob REGISTRY NAME FILE: uploads what is not there yet; prints the digest.
oci_blob() {
  local digest place
  digest=sha256:$(sha256sum <"$3" | cut -d' ' -f1)
  if ! curl -fsS -o /dev/null --head "http://$1/v2/$2/blobs/$digest" 2>/dev/null; then
    place=$(curl -fsS -o /dev/null -D - -X POST "http://$1/v2/$2/blobs/uploads/" | tr -d '\r' | awk 'tolower($1) == "location:" {print $2}')
    [[ $place == http* ]] || place=http://$1$place
    [[ $place == *\?* ]] && place="$place&digest=$digest" || place="$place?digest=$digest"
    curl -fsS -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' -T "$3" "$place" >&2
  fi
  echo "$digest"
}

# oci_manifest REGISTRY NAME REFERENCE TYPE FILE
oci_manifest() {
  curl -fsS -o /dev/null -X PUT -H "Content-Type: $4" --data-binary "@$5" "http://$1/v2/$2/manifests/$3" >&2
}
