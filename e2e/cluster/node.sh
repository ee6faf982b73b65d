#!/bin/bash
# Trouble for one node of the running test cluster $CLUSTER:
#   node.sh kill N           power cut
#   node.sh start N          boots it again, with its disk
#   node.sh cut N | join N   its network (not node0's: the control plane is there)
#   node.sh shell N [CMD...] a shell, or a command, in it
#   node.sh pid N            the pid of its first process
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"
. "$HERE/node.lib.sh"
[ $# -ge 2 ] || { sed -n '2,8s/^# //p' "$0"; exit 2; }
[ -e "$STATE/settings" ] || die "cluster $CLUSTER is not up"
. "$STATE/settings"

power_cut() {
  local i=$1 pid start
  pid=$(node_pid "$i")
  start=$(awk -v pid="$pid" '$1 == pid {print $2}' "$STATE/pids")
  alive "$pid" "$start" || die "node$i is off"
  kill -9 "$pid"
  rm "$STATE/node$i/pid"
  grep -v -E " (init|unshare)$i\$" "$STATE/pids" > "$STATE/pids.new"
  mv "$STATE/pids.new" "$STATE/pids"
  remove_cgroups "$CGROUP/node$i"
  say "node$i is off"
}

boot() {
  node_namespaces "$1"
  node_containerd "$1"
  wait_for 20 "node$1: containerd answers" in_node "$1" ctr version
  node_kubelet "$1"
}

action=$1 number=$2
shift 2
case $action in
  kill) power_cut "$number" ;;
  start) boot "$number" ;;
  cut) in_net 0 ip link set "node$number" down ;;
  join) in_net 0 ip link set "node$number" up ;;
  shell) in_node "$number" "${@:-/bin/bash}" ;;
  pid) node_pid "$number" ;;
  *) die "no action $action" ;;
esac
