#!/bin/bash
# `make test`: installs what it needs and runs every test. A line with the time is printed after each phase.
# With FUZZ_SECONDS every fuzz target is run for so long besides.
# `make e2e`: test.sh e2e, only those of the whole product.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$REPOSITORY"
export CLUSTER=test METRICS=1 CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export NATS_SERVER=$BIN/nats-server          # for the edge's tests against a real broker
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

# Runs cargo's tests and ends with the sum of their closing lines.
run_tests() {
  local log status=0
  log=$(mktemp)
  cargo test --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=1
  awk '/^test result:/ {passed += $4; failed += $6} END {printf "total: %d passed, %d failed\n", passed, failed}' "$log"
  rm -f "$log"
  return $status
}

# Always the whole workspace: with another selection of packages cargo would compile their dependencies again.
selection=()
[ "${1:-all}" = all ] || selection=(--test sdk --test browser --test cluster)
if [ "$(id -u)" = 0 ]; then phase "Debian packages" "$HERE/install.sh" cluster browser sdk; fi
phase "downloads" download
if [ "${1:-all}" = all ]; then
  phase "formatting" cargo fmt --all --check
  phase "lints" cargo clippy --workspace --all-targets -- -D warnings
  phase "generated files" "$REPOSITORY/charts/generate.sh" check
fi
phase "build of the tests" cargo test --workspace --no-run "${selection[@]}"
phase "NATS" "$HERE/build.sh" nats-server
if [ -z "${KUBECONFIG:-}" ]; then
  phase "Kubernetes" "$HERE/build.sh"
  phase "product images" "$SCRIPTS/images.sh"
  [ "${1:-all}" != all ] || phase "make cluster and its printed commands" "$SCRIPTS/walk.sh"
fi
phase "tests" run_tests "${selection[@]}"
if [ "${1:-all}" = all ] && [ -n "${FUZZ_SECONDS:-}" ]; then
  phase "build of the fuzz targets" "$SCRIPTS/fuzz.sh" build
  phase "fuzzing" "$SCRIPTS/fuzz.sh"
fi
