# Settings of the test cluster, sourced by every script here. Each one may be set from outside.
# The scripts use the functions and variables of this file, so they do not work without it.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(cd "$HERE/../.." && pwd)

# Everything that is built or downloaded, outside any checkout, keyed by content or version.
TIDE_CACHE=${TIDE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tidewire}

# Several clusters can stand side by side on one machine: each has a name, a state folder, a cgroup
# and a port on the machine's loopback. `dev` is the one of `make cluster`, `test` the one of the tests.
CLUSTER=${CLUSTER:-dev}
case $CLUSTER in dev) API_PORT=${API_PORT:-16443} ;; *) API_PORT=${API_PORT:-16444} ;; esac

STATE=$TIDE_CACHE/clusters/$CLUSTER      # on a disk file system (ext4): overlayfs stacks on neither tmpfs nor itself
BIN=$TIDE_CACHE/bin                      # links to the current build of every program
IMAGES=$TIDE_CACHE/images                # tarballs every node imports; system/ goes to node0 only
PRODUCT_IMAGES=$TIDE_CACHE/product       # the edge's and the operator's own tarballs
KUBE=$BIN/kube                               # all Kubernetes programs and etcd in one binary
CLUSTER_KUBECONFIG=$STATE/kubeconfig         # an administrator's, for use on the machine
PKI=$STATE/pki
CGROUP=tidewire-$CLUSTER                     # cgroup parent of node i: /$CGROUP/node$i

NODES=${NODES:-2}                            # 1 to 9
METRICS=${METRICS:-0}                        # 1: metrics-server too, for a HorizontalPodAutoscaler on CPU
PROXY_MODE=${PROXY_MODE:-nftables}           # nftables | iptables

NODE_NET=10.255.0                            # node i has the address $NODE_NET.(i+1)
POD_NET=10.244                               # and the pod range $POD_NET.i.0/24
SERVICE_CIDR=10.96.0.0/16
API_SERVICE_IP=10.96.0.1
DNS_IP=10.96.0.10
API_URL=https://$NODE_NET.1:6443             # as seen inside the nodes
