runtime=$(uname -n)
file=$(cat /etc/hostname 2>/dev/null || :)
[ "$runtime" = attic ] && [ "$file" = attic ] && exit 0
echo "is $runtime (/etc/hostname: ${file:-missing}), wanted" attic
exit 1
