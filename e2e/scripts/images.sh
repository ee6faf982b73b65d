#!/bin/bash
# Builds the edge and the operator as static release binaries and makes image tarballs of them in
# $TIDE_CACHE/product. Progress goes to standard error; standard output is EDGE_IMAGE=... and OPERATOR_IMAGE=...
# IMAGES_PROFILE=dev builds without optimisation, for a quick try.
set -euo pipefail
. "$(dirname "$0")/env.sh"

profile=${IMAGES_PROFILE:-release}
cd "$REPOSITORY"
# --target keeps the static flag away from build scripts and procedural macros, which cannot be linked with it.
RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" \
  cargo build --profile "$profile" --target "$STATIC_TARGET" --bin edge --bin operator >&2
folder=$(static_folder "$profile")
references=$("$HERE/images.sh" product "$folder/edge" "$folder/operator")
[ "$(wc -l <<< "$references")" = 2 ] || die "the images were not built: $references"
sed -e '1s/^/EDGE_IMAGE=/' -e '2s/^/OPERATOR_IMAGE=/' <<< "$references"
