#!/bin/bash
# Brings the test cluster $CLUSTER up with the product's images in it, building what is missing. Progress goes to
# standard error; standard output is KUBECONFIG, EDGE_IMAGE, OPERATOR_IMAGE, NATS_IMAGE, KUBECTL and NODE_PID (the first
# process of node0) as NAME=VALUE lines.
# bring-up.sh [--owner PID]: see up.sh.
set -euo pipefail
. "$(dirname "$0")/env.sh"

{
  "$HERE/install.sh" cluster
  "$HERE/build.sh"
  "$HERE/images.sh"
} >&2
references=$("$SCRIPTS/images.sh")
if [ -e "$STATE/up" ]; then
  "$HERE/load.sh" "$PRODUCT_IMAGES"/*.tar >&2
else
  "$HERE/down.sh" >&2            # what a start that failed may have left
  "$HERE/up.sh" "$@" >&2
fi
echo "KUBECONFIG=$CLUSTER_KUBECONFIG"
echo "$references"
echo "NATS_IMAGE=$(cat "$IMAGES/nats.tar.reference")"
echo "KUBECTL=$BIN/kubectl"
echo "NODE_PID=$(node_pid 0)"
