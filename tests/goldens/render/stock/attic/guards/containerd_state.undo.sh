rm -rf --one-file-system -- /run/containerd
