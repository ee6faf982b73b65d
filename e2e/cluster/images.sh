#!/bin/bash
# Makes the image tarballs of the test cluster out of the programs of build.sh.
# images.sh product EDGE OPERATOR: instead, those of the product, out of two static binaries; prints their references.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"

REGISTRY=registry.local

# image OUTPUT REPOSITORY ARGUMENTS...: made anew only when image.py, the arguments or a binary has changed.
image() {
  local output=$1 repository=$2 argument file key
  shift 2
  key=$({
    cat "$HERE/image.py"
    echo "$repository $*"
    for argument in "$@"; do
      file=${argument%%=*}
      [ ! -f "$file" ] || sha256sum "$(readlink -f "$file")"
    done
  } | sha256sum)
  if [ ! -e "$output" ] || [ "$(cat "$output.key" 2> /dev/null)" != "$key" ]; then
    python3 "$HERE/image.py" "$output" "$repository" "$@" > "$output.reference"
    echo "$key" > "$output.key"
  fi
  cat "$output.reference"
}

cluster_images() {
  local name links=
  mkdir -p "$IMAGES/system"
  image "$IMAGES/pause.tar" $REGISTRY/tidewire-pause "$BIN/pause"
  image "$IMAGES/nats.tar" $REGISTRY/tidewire-nats "$BIN/nats-server"
  for name in coredns local-path-provisioner; do image "$IMAGES/system/$name.tar" "$REGISTRY/tidewire-$name" "$BIN/$name"; done
  [ ! -e "$BIN/metrics-server" ] || image "$IMAGES/system/metrics-server.tar" $REGISTRY/tidewire-metrics-server --dir /tmp "$BIN/metrics-server"
  for name in sh mkdir rm; do links="$links --link /bin/$name=busybox"; done
  # shellcheck disable=SC2086  # a list of words
  image "$IMAGES/busybox.tar" $REGISTRY/tidewire-busybox "$BIN/busybox=/bin/busybox" --entry /bin/sh $links
}

product_images() {
  mkdir -p "$PRODUCT_IMAGES"
  image "$PRODUCT_IMAGES/edge.tar" $REGISTRY/tidewire-edge "$1=/edge"
  image "$PRODUCT_IMAGES/operator.tar" $REGISTRY/tidewire-operator "$2=/operator"
}

case ${1:-cluster} in
  cluster) cluster_images > /dev/null ;;
  product) product_images "$2" "$3" ;;
  *) die "no set of images $1" ;;
esac
