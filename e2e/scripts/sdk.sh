#!/bin/bash
# Installs the official SDKs, and what drives the browser, into the cache, keyed by their lock files. Prints
# NODE_PATH=... and PYTHONPATH=... for the drivers in e2e/sdk.
set -euo pipefail
. "$(dirname "$0")/env.sh"
SDK=$REPOSITORY/e2e/sdk

key() { cat "$@" | sha256sum | cut -c1-16; }

# install FOLDER COMMAND...: runs the command with the folder's temporary name; nothing half-made gets the real name.
install() {
  local folder=$1 log
  shift
  [ ! -e "$folder" ] || return 0
  log=$(mktemp)
  rm -rf "$folder.part"
  mkdir -p "$folder.part"
  "$@" "$folder.part" > "$log" 2>&1 < /dev/null || { tail -n 20 "$log" >&2; die "$*" >&2; }
  mv "$folder.part" "$folder"
  rm -f "$log"
}

node_modules() {
  cp "$SDK/js/package.json" "$SDK/js/package-lock.json" "$SDK/js/.npmrc" "$1/"
  npm ci --prefix "$1" --cache "$TIDE_CACHE/npm" --ignore-scripts --no-progress
}

# Not a virtual environment: those have their own path written into them, and are renamed here.
site_packages() { python3 -m pip install --quiet --cache-dir "$TIDE_CACHE/pip" --target "$1" --requirement "$SDK/python/requirements.txt"; }

command -v node npm > /dev/null || die "Node.js 18 or later with npm is needed" >&2
mkdir -p "$TIDE_CACHE/sdk"
exec 9> "$TIDE_CACHE/sdk/.lock"
flock 9
js=$TIDE_CACHE/sdk/js-$(key "$SDK/js/package-lock.json")
python=$TIDE_CACHE/sdk/python-$(key "$SDK/python/requirements.txt" <(python3 --version))
install "$js" node_modules
install "$python" site_packages
echo "NODE_PATH=$js/node_modules"
echo "PYTHONPATH=$python"
