#!/bin/bash
# Installs the Debian packages that are missing for what the arguments name: cluster, browser, sdk.
set -euo pipefail
. "$(dirname "$0")/env.sh"
. "$HERE/lib.sh"

# COMMAND:PACKAGE; a path is a file that must exist.
CLUSTER_NEEDS="containerd:containerd runc:runc /usr/lib/cni/bridge:containernetworking-plugins ip:iproute2 nft:nftables
  iptables:iptables openssl:openssl curl:curl python3:python3 musl-gcc:musl-tools"
BROWSER_NEEDS="chromium:chromium"
SDK_NEEDS="pip3:python3-pip javac:openjdk-17-jdk-headless mvn:maven"

missing() {
  local need what
  for need in "$@"; do
    what=${need%%:*}
    case $what in
      /*) [ -e "$what" ] || echo "${need#*:}" ;;
      *) PATH=$PATH:/usr/sbin:/sbin command -v "$what" > /dev/null || echo "${need#*:}" ;;
    esac
  done
}

needs=
for topic in "$@"; do
  case $topic in
    cluster) needs="$needs $CLUSTER_NEEDS" ;;
    browser) needs="$needs $BROWSER_NEEDS" ;;
    sdk) needs="$needs $SDK_NEEDS" ;;
    *) die "no topic $topic" ;;
  esac
done
# shellcheck disable=SC2086  # a list of words
packages=$(missing $needs | sort -u | tr '\n' ' ')
[ -n "$packages" ] || exit 0
[ "$(id -u)" = 0 ] || die "these Debian packages are missing, and root is needed to install them: $packages"
say "installing: $packages"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
if ! { apt-get -q update && apt-get -qy install --no-install-recommends $packages; } > "$log" 2>&1 < /dev/null; then
  tail -n 20 "$log"
  die "apt-get install $packages"
fi
rm -f "$log"
say "installed"
