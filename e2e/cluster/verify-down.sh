#!/bin/bash
# Prints what a cluster could leave behind on the machine. Run before up.sh and after down.sh: equal outputs mean
# that nothing was left. Lines that other people's programs change are not printed.
. "$(dirname "$0")/env.sh"

section() { echo "== $*"; }

section mounts
sort /proc/1/mounts
mount | grep -F "$STATE"
section links, addresses, routes
ip -br link | awk '{print $1, $2}'
ip -br addr
ip route
ip -6 route
section packet rules
nft list ruleset 2> /dev/null | grep -v '^#'
section cgroups
find /sys/fs/cgroup -mindepth 1 -type d \( -name "$CGROUP" -o -name 'kube*' -o -name 'k8s.io' -o -name 'node[0-9]*' \) | sort
section namespaces that see the state folder
grep -lF "$STATE" /proc/[0-9]*/mountinfo 2> /dev/null | wc -l
section sysctls
sysctl -n kernel.panic kernel.panic_on_oops vm.overcommit_memory vm.panic_on_oom net.ipv4.ip_forward kernel.hostname \
  fs.inotify.max_user_instances net.ipv4.conf.all.route_localnet net.netfilter.nf_conntrack_max kernel.keys.root_maxkeys 2> /dev/null
section port
ss -Hltn "sport = :$API_PORT"
section processes
for process in /proc/[0-9]*; do
  arguments=$({ tr '\0' ' ' < "$process/cmdline"; } 2> /dev/null)
  case $arguments in
    *verify-down*) ;;
    *"$STATE"/* | */containerd*) echo "${arguments:0:80}" ;;
  esac
done
section folders
ls -d /var/lib/{containerd,cni,kubelet} /etc/cni /opt/cni /run/containerd /run/netns /run/mount /var/log/pods /var/log/containers \
  /usr/libexec/kubernetes /tmp/hostpath_pv "$STATE" 2> /dev/null
true
