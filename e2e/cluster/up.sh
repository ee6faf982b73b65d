#!/bin/bash
# Starts the test cluster $CLUSTER: $NODES nodes, each in namespaces of its own, the control plane on node0.
# The programs and images must be there (build.sh, images.sh). End it with down.sh.
# up.sh [--owner PID]: with an owner the cluster goes down by itself when that process has ended.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"
. "$HERE/node.lib.sh"

# etcd, and the API server with its port on the machine's loopback.
start_api() {
  mkdir -m 700 "$STATE/etcd"
  start 0 etcd "$KUBE" etcd --name=node0 --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
    --listen-peer-urls=http://127.0.0.1:2380 --initial-advertise-peer-urls=http://127.0.0.1:2380 --initial-cluster=node0=http://127.0.0.1:2380
  start 0 kube-apiserver "$KUBE" kube-apiserver --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range=$SERVICE_CIDR \
    --advertise-address=$NODE_NET.1 --secure-port=6443 --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --allow-privileged=true --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$PKI/sa.pub" --service-account-signing-key-file="$PKI/sa.key" \
    --kubelet-client-certificate="$PKI/apiserver-kubelet-client.crt" --kubelet-client-key="$PKI/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
    --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
    --enable-aggregator-routing=true --profiling=false
  setsid python3 "$HERE/forward.py" "$(node_pid 0)" "127.0.0.1:$API_PORT=$NODE_NET.1:6443" > "$STATE/logs/forward.log" 2>&1 < /dev/null &
  record $! forward-api
}

# The volume plugin folder is set, or the controller-manager would make one on the machine. The autoscaler's
# and the node controller's periods are shortened to what a test can wait for.
start_controllers() {
  start 0 kube-controller-manager "$KUBE" kube-controller-manager --kubeconfig="$PKI/controller-manager.conf" \
    --authentication-kubeconfig="$PKI/controller-manager.conf" --authorization-kubeconfig="$PKI/controller-manager.conf" \
    --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true \
    --leader-elect=false --profiling=false --kube-api-qps=200 --kube-api-burst=400 --flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins \
    --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
    --node-monitor-period=2s --node-monitor-grace-period=20s \
    --horizontal-pod-autoscaler-sync-period=5s --horizontal-pod-autoscaler-initial-readiness-delay=5s --horizontal-pod-autoscaler-cpu-initialization-period=10s
  start 0 kube-scheduler "$KUBE" kube-scheduler --kubeconfig="$PKI/scheduler.conf" \
    --authentication-kubeconfig="$PKI/scheduler.conf" --authorization-kubeconfig="$PKI/scheduler.conf" --leader-elect=false --profiling=false
}

# metrics-server only where it is asked for: while its APIService has no endpoint, discovery is slow for everybody.
apply_manifests() {
  local manifest
  for manifest in "$HERE"/manifests/*.yaml; do
    case $manifest in */metrics-server.yaml) [ "$METRICS" = 1 ] || continue ;; esac
    sed "s/@DNS_IP@/$DNS_IP/" "$manifest"
    echo ---
  done | "$KUBE" kubectl apply --server-side -f - > "$STATE/logs/apply.log"
}

OWNER=
[ "${1:-}" != --owner ] || OWNER=$2
[ "$(id -u)" = 0 ] || die "the test cluster needs root; with a cluster of your own, set KUBECONFIG"
[ -x "$KUBE" ] || die "$KUBE is missing: run build.sh"
[ ! -e "$STATE/pids" ] || die "cluster $CLUSTER is up or was left behind: run down.sh"
mkdir -p "$STATE/logs"
: > "$STATE/pids"
printf 'NODES=%s\nPROXY_MODE=%s\nAPI_PORT=%s\n' "$NODES" "$PROXY_MODE" "$API_PORT" > "$STATE/settings"
if [ -n "$OWNER" ]; then          # not `||`: a background list is a shell that keeps our outputs open
  setsid bash "$HERE/down.sh" --after "$OWNER" "$(start_time "$OWNER")" > /dev/null 2>&1 < /dev/null &
fi

"$HERE/pki.sh"
say "certificates"
NODE_NUMBERS=$(seq 0 "$(last_node)")
for i in $NODE_NUMBERS; do node_namespaces "$i"; done
start_api
for i in $NODE_NUMBERS; do node_containerd "$i"; done
IMPORTS=()
for i in $NODE_NUMBERS; do node_images "$i" & IMPORTS+=($!); done     # while the API server starts
wait_for 60 "API server ready" curl -sf -m 5 --cacert "$PKI/ca.crt" "https://127.0.0.1:$API_PORT/readyz"
start_controllers
for i in $NODE_NUMBERS; do
  wait_for 20 "node$i: containerd answers" in_node "$i" ctr version
  node_kubelet "$i"
done
export KUBECONFIG=$CLUSTER_KUBECONFIG
for i in $NODE_NUMBERS; do
  wait_for 60 "node$i registered" "$KUBE" kubectl get node "node$i"
  "$KUBE" kubectl wait --for=condition=Ready "node/node$i" --timeout=60s > /dev/null || die "node$i not Ready"
  say "node$i Ready"
done
for pid in "${IMPORTS[@]}"; do wait "$pid" || die "images"; done
apply_manifests
wait_for 60 "default service account" "$KUBE" kubectl -n default get serviceaccount default
"$KUBE" kubectl -n kube-system rollout status deployment/coredns --timeout=120s > /dev/null || die "coredns"
"$KUBE" kubectl -n local-path-storage rollout status deployment/local-path-provisioner --timeout=60s > /dev/null || die "local-path-provisioner"
touch "$STATE/up"
say "cluster $CLUSTER is up: export KUBECONFIG=$KUBECONFIG"
