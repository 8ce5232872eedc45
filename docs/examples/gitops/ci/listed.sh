#!/bin/sh
# Names the manifests of a folder that its kustomization.yaml does not list: they are in
# Git, and no cluster gets to know them.
#
#   sh ci/listed.sh manifests
set -eu
cd "$1"
missing=0
for file in $(find . -name '*.y*ml' ! -name 'kustomization.yaml' ! -name '*.test.yaml' | sed 's|^\./||' | sort); do
  if ! grep -qxF -e "  - $file" kustomization.yaml; then
    echo "$1/$file: not among the files of $1/kustomization.yaml" >&2
    missing=1
  fi
done
exit $missing
