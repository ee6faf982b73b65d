# How a node is made: namespaces and network, containerd, kubelet and kube-proxy. Sourced after lib.sh.

# An own cgroup parent, in every v1 hierarchy or in the one of v2. Without it the kubelet would take
# other people's `kubepods` for orphans of its own and remove them.
node_cgroups() {
  local i=$1 hierarchy dir file
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/$CGROUP/node$i"
    for dir in /sys/fs/cgroup "/sys/fs/cgroup/$CGROUP" "/sys/fs/cgroup/$CGROUP/node$i"; do
      for file in cpu cpuset memory pids io; do echo "+$file" > "$dir/cgroup.subtree_control" 2> /dev/null || true; done
    done
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [ -e "${hierarchy}cgroup.procs" ] || continue
    mkdir -p "$hierarchy$CGROUP/node$i"
    for dir in "$hierarchy$CGROUP" "$hierarchy$CGROUP/node$i"; do
      for file in cpuset.cpus cpuset.mems; do       # empty in a new v1 cpuset, and then nothing may run in it
        [ ! -e "$dir/$file" ] || [ -n "$(tr -d '\n' < "$dir/$file")" ] || cat "${dir%/*}/$file" > "$dir/$file"
      done
    done
  done
}

# A bridge in node0, a veth to it from every other node, static routes to the pod ranges. Nothing leads out
# of these namespaces: an address without a rule cannot leave the machine.
node_network() {
  local i=$1
  if [ "$i" = 0 ]; then
    in_node 0 /bin/bash -ec "
      ip link add nodes type bridge
      ip link add nodes-up type veth peer name nodes-peer
      ip link set nodes-peer master nodes; ip link set nodes-peer up; ip link set nodes-up up
      ip addr add $NODE_NET.1/24 dev nodes; ip link set nodes up; ip route add default dev nodes
      for j in \$(seq 1 $(last_node)); do ip route add $POD_NET.\$j.0/24 via $NODE_NET.\$((j + 1)); done"
    return
  fi
  in_net 0 ip link add "node$i" type veth peer name eth0 netns "$(node_pid "$i")"
  in_net 0 /bin/bash -ec "ip link set node$i master nodes; ip link set node$i up"
  in_net "$i" /bin/bash -ec "
    ip addr add $NODE_NET.$((i + 1))/24 dev eth0; ip link set eth0 up; ip route add default dev eth0
    for j in \$(seq 0 $(last_node)); do
      [ \$j = $i ] || ip route add $POD_NET.\$j.0/24 via $NODE_NET.\$((j + 1))
    done"
}

# Fresh namespaces with node-init.sh as their first process: killing that one pid ends the whole node.
node_namespaces() {
  local i=$1 dir=$STATE/node$1 outer
  mkdir -p "$dir"
  rm -f "$dir/ready"
  setsid unshare --mount --net --pid --uts --ipc --fork --kill-child --propagation private \
    bash "$HERE/node-init.sh" "node$i" "$dir" "$BIN/pause" > "$STATE/logs/init$i.log" 2>&1 < /dev/null &
  outer=$!
  record "$outer" "unshare$i"
  wait_for 10 "node$i: namespaces" test -e "$dir/ready"
  tr -d ' ' < "/proc/$outer/task/$outer/children" > "$dir/pid"
  record "$(node_pid "$i")" "init$i"
  node_cgroups "$i"
  node_network "$i"
}

# restrict_oom_score_adj: without CAP_SYS_RESOURCE no score can be lowered, and runc gives up with
# "can't get final child's PID from pipe: EOF" when it tries.
node_containerd() {
  local i=$1 dir=$STATE/node$1
  mkdir -p "$dir/cni"
  cat > "$dir/containerd.toml" << TOML
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.local/tidewire-pause:e2e"
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "/usr/sbin/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
    max_conf_num = 1
TOML
  cat > "$dir/cni/10-nodes.conflist" << JSON
{ "cniVersion": "1.0.0", "name": "pods", "plugins": [
  { "type": "bridge", "bridge": "cni0", "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
    "ipam": { "type": "host-local", "dataDir": "/run/cni/ipam", "ranges": [[{ "subnet": "$POD_NET.$i.0/24" }]] } },
  { "type": "portmap", "capabilities": { "portMappings": true } } ] }
JSON
  start "$i" containerd /usr/bin/containerd -c "$dir/containerd.toml"
}

# The cluster's own images, and the product's where they have been built.
node_images() {
  local i=$1 tars
  wait_for 20 "node$i: containerd" in_node "$i" ctr version
  tars=$(ls "$IMAGES"/*.tar "$PRODUCT_IMAGES"/*.tar 2> /dev/null || true)
  [ "$i" != 0 ] || tars="$tars $(ls "$IMAGES"/system/*.tar)"
  # shellcheck disable=SC2086  # a list of words; the cache's path has no spaces or build.sh has failed
  node_import "$i" $tars
  say "node$i: images imported"
}

# protectKernelDefaults needs the three sysctls of node-init.sh. imageGCHighThresholdPercent 100: containerd 1.6
# ignores pinned images, so no image may be collected. A node that is cut off is NotReady after 22 seconds.
node_kubelet() {
  local i=$1 dir=$STATE/node$1
  echo "# no name server outside the cluster" > "$dir/resolv.conf"
  cat > "$dir/kubelet.yaml" << YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP/node$i
enforceNodeAllocatable: [pods]
oomScoreAdj: 0
maxOpenFiles: 20000
protectKernelDefaults: true
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet$i.crt
tlsPrivateKeyFile: $PKI/kubelet$i.key
clusterDomain: cluster.local
clusterDNS: [$DNS_IP]
resolvConf: $dir/resolv.conf
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", nodefs.inodesFree: "1%", imagefs.available: "1%"}
nodeStatusUpdateFrequency: 4s
volumePluginDir: /var/lib/kubelet/volumeplugins
YAML
  start "$i" kubelet "$KUBE" kubelet --config="$dir/kubelet.yaml" --kubeconfig="$PKI/node$i.conf" --root-dir=/var/lib/kubelet \
    --hostname-override="node$i" --node-ip="$NODE_NET.$((i + 1))" --node-labels="topology.kubernetes.io/zone=z$i"
  # conntrack zeros: nf_conntrack_max is read-only in a network namespace of one's own.
  cat > "$dir/proxy.yaml" << YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: $PROXY_MODE
clientConnection: {kubeconfig: $PKI/proxy.conf}
hostnameOverride: node$i
clusterCIDR: $POD_NET.0.0/16
nodePortAddresses: [primary]
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
  start "$i" kube-proxy "$KUBE" kube-proxy --config="$dir/proxy.yaml"
}
