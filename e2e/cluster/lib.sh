# Functions shared by the scripts here. Sourced after env.sh.

STARTED_NS=$(date +%s%N)

# Prints a line with the seconds since this script began.
say() {
  local tenths=$((($(date +%s%N) - STARTED_NS) / 100000000))
  printf '%4d.%ds  %s\n' $((tenths / 10)) $((tenths % 10)) "$*"
}

die() {
  say "FAILED: $*" >&2
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: until the command succeeds; says every 5 seconds what it waits for.
wait_for() {
  local end=$((SECONDS + $1)) what=$2 next=$((SECONDS + 5))
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ -d "$STATE" ] || die "$what: the cluster was taken down"
    [ $SECONDS -lt $end ] || die "$what (logs: $STATE/logs)"
    [ $SECONDS -lt $next ] || { say "waiting: $what"; next=$((SECONDS + 5)); }
    sleep 0.1
  done
  say "$what"
}

# A pid alone is not an identity, since numbers are used again: pid and start time are.
start_time() { awk '{print $22}' "/proc/$1/stat" 2> /dev/null; }
alive() { [ -n "$2" ] && [ "$(start_time "$1")" = "$2" ]; }
record() { echo "$1 $(start_time "$1") $2" >> "$STATE/pids"; }

node_pid() { cat "$STATE/node$1/pid"; }
last_node() { echo $((NODES - 1)); }

# Never `ip netns exec`: it mounts a new /sys, and the cgroup mounts below it vanish.
in_node() { local i=$1; shift; nsenter -t "$(node_pid "$i")" -a -- "$@"; }
in_net() { local i=$1; shift; nsenter -t "$(node_pid "$i")" -n -- "$@"; }

# start NODE NAME COMMAND...: a background process in a node; its log is $STATE/logs/NAME<node>.log.
start() {
  local i=$1 name=$2
  shift 2
  in_node "$i" /bin/bash -c 'cd /; log=$1; shift; setsid "$@" >> "$log" 2>&1 < /dev/null &' - "$STATE/logs/$name$i.log" "$@"
}

# Removes the cgroups below the given one, and itself. The last tasks leave a moment after they end.
remove_cgroups() {
  local n
  for n in $(seq 50); do
    find /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1" -depth -type d -exec rmdir {} \; 2> /dev/null || true
    [ -n "$(find /sys/fs/cgroup/"$1" /sys/fs/cgroup/*/"$1" -maxdepth 0 2> /dev/null)" ] || return 0
    sleep 0.1
  done
}

# Imports image tarballs into a node, four side by side.
node_import() {
  local i=$1
  shift
  printf '%s\n' "$@" \
    | xargs -P 4 -n 1 nsenter -t "$(node_pid "$i")" -a -- ctr -n k8s.io images import >> "$STATE/logs/import$i.log" 2>&1 \
    || die "node$i: import of images (see $STATE/logs/import$i.log)"
}
