#!/usr/bin/env bash
# Usage: debian.sh PACKAGE...
# Installs Debian packages where that is allowed (root, and apt-get exists); status 1 where not.
set -u
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "not installed, because this is not root on Debian: $*" >&2
    exit 1
fi
echo "installing from Debian: $*"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
install=(apt-get install --yes --quiet --no-install-recommends "$@")
if ! "${install[@]}" >"$log" 2>&1; then
    # The lists of packages may be old or absent.
    apt-get update --quiet >>"$log" 2>&1
    if ! "${install[@]}" >>"$log" 2>&1; then
        echo "apt-get could not install: $*" >&2
        tail -n 5 "$log" >&2
        rm -f "$log"
        exit 1
    fi
fi
rm -f "$log"
