#!/bin/sh
# Runs helm, built once from its Go module into the cache: charts/helm.sh template charts/tidewire
# The key is the content of charts/helm/go.mod and go.sum and the Go version, so a change builds again and nothing
# else does.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${TIDE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tidewire}
key=$({ cat "$here/helm/go.mod" "$here/helm/go.sum"; go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-16)
helm=$cache/helm/$key/helm
if [ ! -x "$helm" ]; then
    echo "building helm into $cache/helm/$key (a few minutes, once)" >&2
    mkdir -p "$cache/helm/$key"
    (cd "$here/helm" && CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "-s -w" -o "$helm.$$" helm.sh/helm/v3/cmd/helm)
    mv "$helm.$$" "$helm"
fi
exec "$helm" "$@"
