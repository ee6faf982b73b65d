#!/bin/bash
# Walks the way of a new user: `make cluster`, the commands that it prints, `make cluster-down`; then nothing may be
# left on the machine. A cluster of its own, beside those of developers and tests.
set -euo pipefail
export CLUSTER=walk CLIENT_PORT=18100 SERVICE_PORT=19100 METRICS=0
unset KUBECONFIG
. "$(dirname "$0")/env.sh"

folder=$(mktemp -d)
receiver=
finish() {
  [ -z "$receiver" ] || kill "$receiver" 2> /dev/null || true
  "$SCRIPTS/cluster.sh" down > /dev/null 2>&1 || true
  rm -rf "$folder"
}
trap finish EXIT

received() { grep -q "$1" "$folder/received"; }

# Runs the printed lines in their order; the one that receives goes on beside the others, its input open.
paste_commands() {
  local line
  while IFS= read -r line; do
    case $line in
      *client.cjs*)
        eval "$line" < <(sleep 120) > "$folder/received" 2>&1 &
        receiver=$!
        wait_for 20 "the SDK is subscribed" received '"subscribed"'
        ;;
      *) eval "$line" ;;
    esac
  done < <(sed -n '/^The cluster is ready/,$ s/^  //p' "$folder/printed" | grep -v '^#')
  wait_for 10 "what was published is received" received '"text":"hello"'
}

"$HERE/verify-down.sh" > "$folder/before"
"$SCRIPTS/cluster.sh" up > "$folder/printed"
paste_commands
kill "$receiver"
receiver=
"$SCRIPTS/cluster.sh" down
"$HERE/verify-down.sh" > "$folder/after"
diff "$folder/before" "$folder/after" || die "make cluster-down leaves something behind"
say "nothing is left behind"
