#!/bin/bash
# First process of a node: pid 1 of fresh mount, net, pid, uts and ipc namespaces.
# node-init.sh NAME DIR PAUSE: the node's name, its folder (absolute), the program to become at the end.
set -eu
NAME=$1 DIR=$2 PAUSE=$3

mount -n -t tmpfs -o mode=755 tmpfs /run                # first, or mount would leave a /run/mount on the machine
umount /proc
mount -t proc proc /proc                                # replaced, not stacked
mkdir /run/cgroup
mount --move /sys/fs/cgroup /run/cgroup
umount /sys
mount -t sysfs sysfs /sys                               # one that shows this network namespace
mount --move /run/cgroup /sys/fs/cgroup
rmdir /run/cgroup

# /var is copy-on-write: default paths work and the machine's own /var is never written. containerd's and the
# kubelet's folders are bind mounts on top, since overlayfs cannot stack on this overlay.
mkdir -p "$DIR"/{var,varwork,containerd,kubelet,volumes}
mount -t overlay -o "lowerdir=/var,upperdir=$DIR/var,workdir=$DIR/varwork" overlay /var
mkdir -p /var/lib/{containerd,kubelet,volumes}
for folder in containerd kubelet volumes; do mount --bind "$DIR/$folder" "/var/lib/$folder"; done

# The kubelet sets three sysctls of the whole machine: it is handed private files instead.
mkdir /run/sysctl
for setting in kernel/panic=10 kernel/panic_on_oops=1 vm/overcommit_memory=1; do
  path=${setting%=*}
  echo "${setting#*=}" > "/run/sysctl/${path##*/}"
  mount --bind "/run/sysctl/${path##*/}" "/proc/sys/$path"
done

mount --make-rshared /                                  # last: nothing can be moved out of a shared parent
hostname "$NAME"
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
touch "$DIR/ready"
exec "$PAUSE"
