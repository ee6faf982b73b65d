#!/bin/bash
# load.sh TARBALL...: imports image tarballs into every node of the running test cluster $CLUSTER.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"
[ -e "$STATE/settings" ] || die "cluster $CLUSTER is not up"
. "$STATE/settings"
for i in $(seq 0 "$(last_node)"); do node_import "$i" "$@"; done
