#!/usr/bin/env bash
# Sets up what the tests talk to beyond Python: headless Chromium, Node's `ws`, what js/
# needs of npm, nginx, HAProxy, Redis.
# Never fails: a test that misses its peer is left out, and the run says so.
set -u
cd "$(dirname "$0")/.."

chromium_found() {
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}

chromium_found || tools/debian.sh chromium ||
    echo "peers: install chromium to run the browser tests"

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    tools/debian.sh nodejs npm || echo "peers: install nodejs and npm for the Node tests"
fi
if command -v npm >/dev/null; then
    wanted=tests/interop/node/package.json
    if [ ! -d .tools/node/node_modules/ws ] || ! cmp -s $wanted .tools/node/package.json; then
        mkdir -p .tools/node
        cp $wanted .tools/node/package.json
        npm install --prefix .tools/node --no-audit --no-fund --loglevel=error ||
            echo "peers: npm could not install ws"
    fi
fi

python=.venv/bin/python
[ -x $python ] || python=python3
$python tools/js.py install >/dev/null ||
    echo "peers: npm could not install what js/ needs"

command -v curl >/dev/null && command -v openssl >/dev/null ||
    tools/debian.sh curl openssl || echo "peers: install curl and openssl"

unpack_nginx() {
    mkdir -p .tools/nginx && cd .tools/nginx || return
    apt-get download --quiet nginx || { apt-get update && apt-get download nginx; } || return
    dpkg -x nginx_*.deb .
}
# Unpacked, not installed: installing it would start a server at port 80.
if ! command -v nginx >/dev/null && [ ! -x .tools/nginx/usr/sbin/nginx ]; then
    (command -v apt-get && unpack_nginx) >/dev/null 2>&1 ||
        echo "peers: install nginx to test the page on nginx"
fi

unpack_redis() {
    rm -rf .tools/redis && mkdir -p .tools/redis && cd .tools/redis || return
    # Debian keeps the server's program in redis-tools, under another name.
    local packages=(redis-tools libatomic1 libjemalloc2 liblzf1)
    apt-get download --quiet "${packages[@]}" ||
        { apt-get update && apt-get download "${packages[@]}"; } || return
    for package in *.deb; do dpkg -x "$package" . && rm "$package"; done
    ln -s redis-check-rdb usr/bin/redis-server
    printf '%s\n' '#!/bin/sh' 'here=$(dirname "$0")' \
        'export LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*)' \
        'exec "$here/usr/bin/redis-server" "$@"' >redis-server
    chmod +x redis-server
    ./redis-server --version || rm redis-server
}
# Unpacked for the same reason.
if ! command -v redis-server >/dev/null && [ ! -x .tools/redis/redis-server ]; then
    (command -v apt-get && unpack_redis) >/dev/null 2>&1
    [ -x .tools/redis/redis-server ] ||
        echo "peers: install redis-server to test the example with Django and Redis"
fi

unpack_haproxy() {
    rm -rf .tools/haproxy && mkdir -p .tools/haproxy && cd .tools/haproxy || return
    local packages=(haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
    apt-get download --quiet "${packages[@]}" ||
        { apt-get update && apt-get download "${packages[@]}"; } || return
    for package in *.deb; do dpkg -x "$package" . && rm "$package"; done
    printf '%s\n' '#!/bin/sh' 'here=$(dirname "$0")' \
        'export LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-*)' \
        'exec "$here/usr/sbin/haproxy" "$@"' >haproxy
    chmod +x haproxy
    ./haproxy -v || rm haproxy
}
# Unpacked, for the same reason.
if ! command -v haproxy >/dev/null && [ ! -x .tools/haproxy/haproxy ]; then
    (command -v apt-get && unpack_haproxy) >/dev/null 2>&1
    [ -x .tools/haproxy/haproxy ] ||
        echo "peers: install haproxy to test the page on deployment"
fi
exit 0
