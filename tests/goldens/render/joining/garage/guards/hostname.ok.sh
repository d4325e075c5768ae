runtime=$(uname -n)
file=$(cat /etc/hostname 2>/dev/null || :)
[ "$runtime" = garage ] && [ "$file" = garage ] && exit 0
echo "is $runtime (/etc/hostname: ${file:-missing}), wanted" garage
exit 1
