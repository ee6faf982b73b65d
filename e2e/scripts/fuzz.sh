#!/bin/bash
# `make fuzz`: builds every fuzz target and runs each for FUZZ_SECONDS, two at a time.
# `fuzz.sh build`: only builds them.
# They begin with the committed corpora. An input that fails is printed and kept in the crate's `artifacts`: mend what it
# shows, and add it to the corpus, which the tests replay.
# cargo-fuzz is built once into the cache. The pinned stable compiler is told to take its flags. There is no sanitizer:
# we have no unsafe code, and it would double the time of the build.
set -euo pipefail
. "$(dirname "$0")/env.sh"
export FUZZ_SECONDS=${FUZZ_SECONDS:-60}
crates=(edge/fuzz edge/protocol/fuzz)

export RUSTC_BOOTSTRAP=1
PATH=$TIDE_CACHE/tools/bin:$PATH
export CARGO_TARGET_DIR=$TIDE_CACHE/fuzz/target
command -v cargo-fuzz > /dev/null || cargo install --quiet --root "$TIDE_CACHE/tools" cargo-fuzz

# CRATE TARGET: runs it; its output is shown only if it fails.
run() {
  local crate=$1 target=$2 found log
  found=$(mktemp -d)
  log=$found.log
  mkdir -p "$crate/artifacts/$target"
  if ! "$CARGO_TARGET_DIR"/*/release/"$target" -max_total_time="$FUZZ_SECONDS" -timeout=30 -print_final_stats=1 \
    -artifact_prefix="$crate/artifacts/$target/" "$found" "$crate/corpus/$target" > "$log" 2>&1; then
    cat "$log"
    rm -rf "$found" "$log"
    echo "$target failed"
    return 1
  fi
  echo "$target: $(awk '/^stat::number_of_executed_units/ {print $2}' "$log") inputs in $FUZZ_SECONDS s, none failed"
  rm -rf "$found" "$log"
}

cd "$REPOSITORY"
for crate in "${crates[@]}"; do
  (cd "$crate" && cargo fuzz build --fuzz-dir . --sanitizer none --codegen-units 16)
done
[ "${1:-run}" = run ] || exit 0

export -f run
for crate in "${crates[@]}"; do
  for target in $(cd "$crate" && cargo fuzz list --fuzz-dir .); do echo "$crate $target"; done
done | xargs -P 2 -L 1 bash -euc 'run "$0" "$1"'
