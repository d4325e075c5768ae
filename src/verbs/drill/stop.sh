# Stops this machine's API server, after a timer was set that starts it again whatever happens. `seconds` and `sudden` are set.
set -eu
unit=kube-apiserver.service
systemctl is-active -q $unit || { echo 'its API server does not run'; exit 1; }
systemctl stop homectl-drill.timer 2>/dev/null || :
systemctl reset-failed homectl-drill.service 2>/dev/null || :
systemd-run --quiet --unit=homectl-drill --on-active="$seconds" --timer-property=AccuracySec=1s \
    --description='homectl drill: starts the API server again' systemctl start $unit
systemctl is-active -q homectl-drill.timer || { echo 'no timer could be set, so nothing was stopped'; exit 1; }
[ "$sudden" = no ] || systemctl kill --signal=SIGKILL $unit
systemctl stop $unit
