# Starts it again, and takes the timer away that would. Whether it is ready is seen by whoever asks it.
set -eu
systemctl start --no-block kube-apiserver.service
systemctl stop homectl-drill.timer 2>/dev/null || :
