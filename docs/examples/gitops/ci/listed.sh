#!/bin/sh
# Holds the files of a folder and those that its kustomization.yaml lists to each other. What is
# not listed gets to no cluster; what is listed and gone keeps every later change from all of them;
# of two files with one name, a pod has one.
#
#   sh ci/listed.sh manifests
set -eu
cd "$1"
list=$(awk '
  /^ *(#.*)?$/ { next }
  /^ *files: *(#.*)?$/ { inside = 1; next }
  inside && /^ *- +[^ :]+ *( #.*)?$/ { print $2; next }
  { inside = 0 }
' kustomization.yaml)
wrong=0
say() {
  echo "$1" >&2
  wrong=1
}
for file in $(find . -name '*.y*ml' ! -name kustomization.yaml ! -name '*.test.yaml' | sed 's|^\./||' | sort); do
  printf '%s\n' "$list" | grep -qxF -e "$file" || say "$1/$file: not among the files of $1/kustomization.yaml"
done
for file in $list; do
  test -f "$file" || say "$1/kustomization.yaml: lists $file, and there is no such file"
done
for name in $(printf '%s\n' "$list" | sed 's|.*/||' | sort | uniq -d); do
  say "$1/kustomization.yaml: lists $name more than once, maybe in two folders; a pod would have one of them"
done
exit $wrong
