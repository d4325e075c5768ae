runtime=$(uname -n)
file=$(cat /etc/hostname 2>/dev/null || :)
[ "$runtime" = cellar ] && [ "$file" = cellar ] && exit 0
echo "is $runtime (/etc/hostname: ${file:-missing}), wanted" cellar
exit 1
