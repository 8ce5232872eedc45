#!/bin/sh
# Refuses what is no APIToken under tokens/: those who may only make tokens would change a Gate, a
# UserGroup or a TokenPolicy there. patgate itself counts the kinds, with the folder and without.
#
#   sh ci/tokens.sh manifests
set -eu
rest=$(mktemp -d)
trap 'rm -rf "$rest"' EXIT
cp -R "$1/." "$rest"
rm -rf "$rest/tokens"
kinds() {
  patgate check -o json "$1" | grep -oE '"(gates|groups|policies)":[0-9]+'
}
patgate check "$1"
if [ "$(kinds "$1")" != "$(kinds "$rest")" ]; then
  echo "$1/tokens: holds more than APITokens; a Gate, UserGroup or TokenPolicy belongs beside that folder" >&2
  exit 1
fi
