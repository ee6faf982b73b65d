#!/bin/bash
# Ends the test cluster $CLUSTER by its recorded pids only, then removes its cgroups and its state.
# down.sh --after PID START: first waits until that process (pid and start time) has ended.
# KEEP_LOGS=1 leaves the logs in $STATE.logs.
set -uo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"

if [ "${1:-}" = --after ]; then
  while alive "$2" "$3"; do
    sleep 0.5
    [ -e "$STATE/pids" ] || exit 0           # somebody else took the cluster down
  done
fi
mkdir -p "$TIDE_CACHE/clusters"
exec 9> "$TIDE_CACHE/clusters/.$CLUSTER.down"
flock 9                                      # the owner's watcher and a call by hand may meet
[ -e "$STATE/pids" ] || exit 0

while read -r pid start what; do
  # A node's first process takes the node's whole pid namespace along.
  case $what in init* | forward*) ! alive "$pid" "$start" || kill -9 "$pid" ;; esac
done < "$STATE/pids"
for n in $(seq 100); do
  left=
  while read -r pid start what; do ! alive "$pid" "$start" || left="$left $what"; done < "$STATE/pids"
  [ -n "$left" ] || break
  sleep 0.1
done
[ -z "$left" ] || say "still alive:$left"
remove_cgroups "$CGROUP"
if [ -n "${KEEP_LOGS:-}" ]; then
  rm -rf "$STATE.logs"
  cp -r "$STATE/logs" "$STATE.logs"
fi
rm -rf --one-file-system "$STATE"
say "cluster $CLUSTER is down"
