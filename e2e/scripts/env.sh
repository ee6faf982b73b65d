# Common to the scripts here: the test cluster's settings, and where cargo builds. Sourced.

. "$(cd "$(dirname "${BASH_SOURCE[0]}")/../cluster" && pwd)/env.sh"
. "$HERE/lib.sh"
SCRIPTS=$REPOSITORY/e2e/scripts

# CI runs in a fresh clone: its target folder must outlive the checkout. A developer's stays where cargo puts it.
[ -z "${CI:-}" ] || export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$TIDEWIRE_CACHE/target}
export TIDEWIRE_CACHE
PATH=$PATH:$BIN                # kubectl, where the machine has none of its own
STATIC_TARGET=x86_64-unknown-linux-gnu
