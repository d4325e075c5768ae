# What is in some folders, one line an inode, with everything that a write changes: inode number, size, times, and the content
# itself of what is not huge. Arguments: folders and files; "!PATH" leaves out what is below PATH.
set -eu
export LC_ALL=C
roots='' without=''
for arg; do
  case $arg in
    !*) without="$without -path ${arg#!} -prune -o" ;;
    *) [ ! -e "$arg" ] || roots="$roots $arg" ;;
  esac
done
set -f
find $roots -xdev $without -printf '%p %y %m %U:%G %i %s %T@ %C@ %l\n' | sort
find $roots -xdev $without -type f -size -4096k -print0 | sort -z | xargs -0 -r sha256sum
