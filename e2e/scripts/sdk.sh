#!/bin/bash
# Installs the official SDKs, and what drives the browser, into the cache, keyed by their lock files, and builds the
# drivers in e2e/sdk that need it. sdk.sh [js] [python] [go] [java]; default: all. Prints where they are: NODE_PATH=...,
# PYTHONPATH=..., SDK_GO=... (a program), SDK_JAVA=... (a class path). The Rust driver is built by cargo.
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

# The module cache is Go's own: it is shared with the programs of the cluster.
go_program() { (cd "$SDK/go" && CGO_ENABLED=0 GOTOOLCHAIN=local go build -mod=readonly -trimpath -buildvcs=false -o "$1/client" .); }

# Maven fetches; javac, as the JDK has it, makes the classes of the one file.
java_classes() {
  mvn --batch-mode --file "$SDK/java/pom.xml" "-Dmaven.repo.local=$TIDE_CACHE/maven" \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies "-DoutputDirectory=$1" &&
    javac --release 17 -cp "$1/*" -d "$1" "$SDK/java/Driver.java"
}

js() {
  local folder
  command -v node npm > /dev/null || die "Node.js 20 or later with npm is needed" >&2
  folder=$TIDE_CACHE/sdk/js-$(key "$SDK/js/package-lock.json")
  install "$folder" node_modules
  echo "NODE_PATH=$folder/node_modules"
}

python() {
  local folder
  folder=$TIDE_CACHE/sdk/python-$(key "$SDK/python/requirements.txt" <(python3 --version))
  install "$folder" site_packages
  echo "PYTHONPATH=$folder"
}

go_sdk() {
  local folder
  command -v go > /dev/null || die "Go 1.26.8 or later is needed (https://go.dev/dl)" >&2
  folder=$TIDE_CACHE/sdk/go-$(key "$SDK"/go/go.* "$SDK"/go/*.go <(go version))
  install "$folder" go_program
  echo "SDK_GO=$folder/client"
}

java_sdk() {
  local folder
  command -v javac mvn > /dev/null || die "a JDK, 17 or later, and Maven are needed" >&2
  folder=$TIDE_CACHE/sdk/java-$(key "$SDK/java/pom.xml" "$SDK/java/Driver.java")
  install "$folder" java_classes
  echo "SDK_JAVA=$folder:$folder/*"
}

mkdir -p "$TIDE_CACHE/sdk"
exec 9> "$TIDE_CACHE/sdk/.lock"
flock 9
for name in ${*:-js python go java}; do
  case $name in
    js | python) "$name" ;;
    go | java) "${name}_sdk" ;;
    *) die "no SDK $name" >&2 ;;
  esac
done
