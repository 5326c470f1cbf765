#!/usr/bin/env bash
# Usage: venv.sh FOLDER PYTHON [GROUP...]
# Makes or refreshes a virtual environment with longwire (editable, not compiled), its
# extras and the named dependency groups of pyproject.toml.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 python=${2:-}
shift 2
[ -n "$python" ] || python=$(tools/find_python.sh)
say() { echo "venv: $*"; }

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "$python is not Python 3.11 or newer" >&2
    exit 1
fi
if ! "$folder/bin/python" -c 'import pip' 2>/dev/null; then
    say "making $folder with $python"
    if [ -e "$folder" ] && [ ! -e "$folder/pyvenv.cfg" ]; then
        say "$folder exists and is not a virtual environment" >&2
        exit 1
    fi
    rm -rf "$folder"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian keeps these in packages of their own.
        tools/debian.sh python3-venv python3-dev || true
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            say "$python cannot make virtual environments;" \
                "install python3-venv (Debian: apt install python3-venv)" >&2
            exit 1
        fi
    fi
    "$python" -m venv "$folder"
fi

# Best effort: tools/build.py says what is missing where this is not allowed.
"$folder/bin/python" -c 'import os, sys, sysconfig
sys.exit(not os.path.isfile(sysconfig.get_path("include") + "/Python.h")
         and sys.implementation.name == "cpython")' || tools/debian.sh python3-dev || true

# Errors only: what a registry's mirror warns of is not ours to mend.
quiet=(-qq --disable-pip-version-check)
requirements=$("$folder/bin/python" -c '
import tomllib
with open("pyproject.toml", "rb") as file:
    print(*tomllib.load(file)["build-system"]["requires"], sep="\n")')
groups=()
for group in "$@"; do groups+=(--group "$group"); done

say "installing what is needed (${*:-nothing more})"
# pip 25.1 is the first that knows dependency groups.
"$folder/bin/python" -m pip install "${quiet[@]}" --upgrade 'pip>=25.1'
# shellcheck disable=SC2086  # one requirement per line, without blanks
"$folder/bin/python" -m pip install "${quiet[@]}" $requirements
# Compiling is tools/build.py's work; here only the package is made known.
LONGWIRE_PURE_BUILD=1 "$folder/bin/python" -m pip install "${quiet[@]}" \
    --no-build-isolation --editable '.[cli,socks]' "${groups[@]}"
