#!/usr/bin/env bash
# Sets up what the tests talk to beyond Python: headless Chromium, Node's `ws`, nginx.
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
exit 0
