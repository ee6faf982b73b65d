#!/bin/bash
# Builds what the test cluster runs into $TIDE_CACHE/programs/NAME-KEY and links it as $BIN/NAME. KEY covers the
# Go version, the module's files and the flags, so nothing is built twice. build.sh [NAME...]; default: all.
# The first build of kube takes about 10 minutes on 2 cores. Same flags everywhere, so that the programs share the
# Go build cache; -trimpath and no VCS stamp, so that two checkouts do too.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"

PROGRAMS=$TIDE_CACHE/programs
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false

# Runs `go build -v` in the background and says every 5 seconds how many packages are compiled.
compile() { # NAME FOLDER PACKAGE FLAGS OUTPUT
  local name=$1 folder=$2 package=$3 flags=$4 output=$5 log pid total next=5
  log=$(mktemp)
  cd "$folder"
  # Counted from the dependencies, since packages already in the Go cache are not printed.
  total=$(go list -mod=readonly -deps "$package" | wc -l)
  go build -v -mod=readonly -trimpath -ldflags "$flags" -o "$output.part" "$package" > "$log" 2>&1 < /dev/null &
  pid=$!
  SECONDS=0
  while kill -0 $pid 2> /dev/null; do
    sleep 0.2
    [ $SECONDS -ge $next ] || continue
    say "building $name: $SECONDS s, $(grep -vc '^go: ' "$log" || true) of at most $total packages"
    next=$((SECONDS + 5))
  done
  if ! wait $pid; then
    tail -n 20 "$log"
    die "build of $name"
  fi
  rm -f "$log"
  mv "$output.part" "$output"
  say "built $name in $SECONDS s, $(($(stat -c %s "$output") / 1000000)) MB"
}

go_program() { # NAME FOLDER PACKAGE [LINKER FLAGS]
  local name=$1 folder=$HERE/programs/$2 package=$3 flags="-s -w ${4:-}" key
  key=$({ go version; echo "$package $flags"; cat "$folder"/go.mod "$folder"/go.sum "$folder"/*.go; } | sha256sum | cut -c1-16)
  [ -x "$PROGRAMS/$name-$key" ] || (compile "$name" "$folder" "$package" "$flags" "$PROGRAMS/$name-$key")
  ln -sfn "$PROGRAMS/$name-$key" "$BIN/$name"
}

# Without the version flags the programs call themselves v0.0.0 and feature gates misbehave.
kube() {
  local version variables=k8s.io/component-base/version
  version=$(cd "$HERE/programs/kube" && go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
  go_program kube kube . \
    "-X $variables.gitVersion=$version -X $variables.gitMajor=1 -X $variables.gitMinor=$(echo "$version" | cut -d. -f2)"
  printf '#!/bin/sh\nexec %s kubectl "$@"\n' "$KUBE" > "$BIN/kubectl.part"
  chmod +x "$BIN/kubectl.part"
  mv "$BIN/kubectl.part" "$BIN/kubectl"
}

pause() {
  local key
  key=$(sha256sum < "$HERE/pause/pause.c" | cut -c1-16)
  if [ ! -x "$PROGRAMS/pause-$key" ]; then
    "$(command -v musl-gcc || command -v gcc)" -Os -static -s -o "$PROGRAMS/pause-$key.part" "$HERE/pause/pause.c"
    mv "$PROGRAMS/pause-$key.part" "$PROGRAMS/pause-$key"
  fi
  ln -sfn "$PROGRAMS/pause-$key" "$BIN/pause"
}

# The shell of the volume provisioner's helper pod. Not installed: the package would replace the machine's busybox.
busybox() {
  local folder
  if [ ! -x "$PROGRAMS/busybox" ]; then
    folder=$(mktemp -d)
    chmod 755 "$folder"
    (cd "$folder" && { apt-get -q download busybox-static || { apt-get -q update && apt-get -q download busybox-static; }; }) \
      > "$folder/log" 2>&1 < /dev/null || { tail -n 20 "$folder/log"; die "download of busybox-static"; }
    dpkg-deb -x "$folder"/busybox-static_*.deb "$folder/tree"
    cp "$folder/tree/bin/busybox" "$PROGRAMS/busybox.part"
    mv "$PROGRAMS/busybox.part" "$PROGRAMS/busybox"
    rm -rf "$folder"
  fi
  ln -sfn "$PROGRAMS/busybox" "$BIN/busybox"
}

case $TIDE_CACHE in *[[:space:]]*) die "the path of the cache has spaces: $TIDE_CACHE" ;; esac
command -v go > /dev/null || die "Go 1.26.8 or later is needed (https://go.dev/dl)"
mkdir -p "$PROGRAMS" "$BIN"
exec 9> "$PROGRAMS/.lock"
flock -n 9 || { say "waiting: another build"; flock 9; }
for name in ${*:-kube pause busybox nats-server coredns metrics-server local-path-provisioner}; do
  case $name in
    kube | pause | busybox) "$name" ;;
    nats-server) go_program "$name" nats github.com/nats-io/nats-server/v2 ;;
    coredns) go_program "$name" coredns . ;;
    metrics-server)
      go_program "$name" metrics-server sigs.k8s.io/metrics-server/cmd/metrics-server \
        "-X sigs.k8s.io/metrics-server/pkg/version.gitVersion=v0.9.0" ;;
    local-path-provisioner) go_program "$name" local-path github.com/rancher/local-path-provisioner ;;
    *) die "no program $name" ;;
  esac
done
