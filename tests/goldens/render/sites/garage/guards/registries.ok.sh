found=
for dir in /etc/containerd/certs.d/*/; do
[ -d "$dir" ] || continue
dir=${dir%/}
case ' docker.io registry.k8s.io ' in *" ${dir##*/} "*) ;; *) echo "$dir is not in the inventory"; found=yes ;; esac
done
[ -z "$found" ]
