# Common to the scripts here: the test cluster's settings, and where cargo builds. Sourced.

. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../cluster" && pwd)/env.sh"
. "$HERE/lib.sh"
SCRIPTS=$REPOSITORY/e2e/scripts

# CI runs in a fresh clone: its target folder must outlive the checkout. A developer's stays where cargo puts it.
[ -z "${CI:-}" ] || export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$TIDE_CACHE/target}
export TIDE_CACHE
PATH=$PATH:$BIN                # kubectl, where the machine has none of its own
STATIC_TARGET=x86_64-unknown-linux-gnu

# Where the static programs of a profile are.
static_folder() { # PROFILE
  local program='import json, sys; print(json.load(sys.stdin)["target_directory"])' target
  target=$(cd "$REPOSITORY" && cargo metadata --format-version 1 --no-deps | python3 -c "$program")
  echo "$target/$STATIC_TARGET/${1/#dev/debug}"
}
