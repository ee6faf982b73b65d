#!/bin/bash
# token.sh NAMESPACE NAME USER: prints a connection token for the RealtimeCluster, signed with the key that its
# generated Secret holds.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ $# = 3 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
export KUBECONFIG=${KUBECONFIG:-$CLUSTER_KUBECONFIG}

key=$(kubectl -n "$1" get secret "$2-token" -o 'jsonpath={.data.hmac_secret_key}' | base64 -d)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
printf '{"client": {"token": {"hmac_secret_key": "%s"}}}' "$key" > "$folder/config.json"
edge=$(static_folder "${IMAGES_PROFILE:-release}")/edge
[ -x "$edge" ] || "$SCRIPTS/images.sh" > /dev/null
"$edge" gentoken -q -c "$folder/config.json" -u "$3"
