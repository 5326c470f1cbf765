#!/usr/bin/env bash
# Prints the interpreter for .venv: the newest CPython from 3.11 up on the PATH.
# A name may be there and not start (pyenv's shims), so each is tried.
set -u
newest=0 chosen=
for name in python3 python3.11 python3.12 python3.13 python3.14; do
    path=$(command -v "$name") || continue
    # The answer names the real program, not the shim.
    answer=$("$path" -c 'import sys
minor = sys.version_info.minor if sys.implementation.name == "cpython" else 0
print(minor, sys.executable)' 2>/dev/null) || continue
    minor=${answer%% *} path=${answer#* }
    if ((minor >= 11 && minor > newest)); then
        newest=$minor chosen=$path
    fi
done
if [ -z "$chosen" ]; then
    echo "longwire needs Python 3.11 or newer and none was found on the PATH;" \
        "install one (Debian: apt install python3 python3-venv python3-dev)" \
        "or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi
printf '%s\n' "$chosen"
