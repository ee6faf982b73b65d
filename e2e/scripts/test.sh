#!/bin/bash
# `make test`: installs what it needs and runs every test. A line with the time is printed after each phase.
# `make e2e`: test.sh e2e, only those of the whole product.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPOSITORY"
export CLUSTER=test METRICS=1 CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
trap '"$HERE/down.sh"' EXIT

phase() { # NAME COMMAND...
  local name=$1 begin=$SECONDS
  shift
  echo "---- $name"
  "$@" || { echo "---- $name FAILED after $((SECONDS - begin)) s"; exit 1; }
  echo "---- $name: $((SECONDS - begin)) s"
}

# All that comes over a network, side by side, since none of it needs the processor for long.
download() {
  local pids=() pid module
  cargo fetch --quiet & pids+=($!)
  "$SCRIPTS/sdk.sh" & pids+=($!)
  if [ ! -x "$KUBE" ]; then
    for module in "$HERE"/programs/*/; do (cd "$module" && GOTOOLCHAIN=local go mod download) & pids+=($!); done
  fi
  for pid in "${pids[@]}"; do wait "$pid" || return 1; done
}

if [ "$(id -u)" = 0 ]; then phase "Debian packages" "$HERE/install.sh" cluster browser; fi
phase "downloads" download
if [ "${1:-all}" = all ]; then
  phase "build of the workspace" cargo build --workspace --tests --bins
  phase "tests of the crates" cargo test --workspace --exclude tidewire-e2e --no-fail-fast
fi
if [ -z "${KUBECONFIG:-}" ]; then
  phase "Kubernetes" "$HERE/build.sh"
  phase "product images" "$SCRIPTS/images.sh"
fi
phase "build of the tests of the whole" cargo build --package tidewire-e2e --tests --bins
phase "tests of the whole" cargo test --package tidewire-e2e --no-fail-fast
