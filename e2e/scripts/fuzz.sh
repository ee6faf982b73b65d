#!/bin/bash
# `make fuzz`: replays the corpus of every fuzz target and extends it for FUZZ_SECONDS each.
# cargo-fuzz is built once into the cache. The pinned stable compiler is told to take the sanitizer's flags.
set -euo pipefail
. "$(dirname "$0")/env.sh"
FUZZ_SECONDS=${FUZZ_SECONDS:-60}
cd "$REPOSITORY/edge/protocol/fuzz"

export RUSTC_BOOTSTRAP=1
PATH=$TIDE_CACHE/tools/bin:$PATH
command -v cargo-fuzz > /dev/null || cargo install --quiet --root "$TIDE_CACHE/tools" cargo-fuzz
for target in $(cargo fuzz list --fuzz-dir .); do
  say "fuzzing $target for $FUZZ_SECONDS s"
  cargo fuzz run --fuzz-dir . "$target" -- -max_total_time="$FUZZ_SECONDS"
done
