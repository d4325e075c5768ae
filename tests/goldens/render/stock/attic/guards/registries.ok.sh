found=
for dir in /etc/containerd/certs.d/*/; do
[ -d "$dir" ] || continue
dir=${dir%/}
case ' ' in *" ${dir##*/} "*) ;; *) echo "$dir is not in the inventory"; found=yes ;; esac
done
[ -z "$found" ]
