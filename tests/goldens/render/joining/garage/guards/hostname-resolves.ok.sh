awk -v name=garage '$1 !~ /^#/ { for (i = 2; i <= NF; i++) if ($i == name) found = 1 } END { exit !found }' /etc/hosts && exit 0
echo '/etc/hosts does not have the name'
exit 1
