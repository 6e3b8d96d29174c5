#!/usr/bin/env bash
# tools.sh DIR: load generators and peers of the benchmark from Debian's packages, unpacked into DIR and not installed:
# wrk, h2load, nginx (also the backend), haproxy. Prints lines NAME=VALUE for the environment. A second run does nothing.
#
# Needs apt and dpkg, no root. What is installed already is taken as it is.
set -euo pipefail
DIR=${1:?usage: tools.sh DIR}
mkdir -p "$DIR"
DIR=$(cd "$DIR" && pwd)
PATH=$PATH:/usr/sbin:/sbin

# PACKAGE and what it depends on that the machine does not have.
fetch() {
  local packages
  mapfile -t packages < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "$@" | grep -E '^[a-z0-9]' | sort -u)
  local wanted=() name
  for name in "${packages[@]}"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || wanted+=("$name")
  done
  mkdir -p "$DIR/debs"
  (cd "$DIR/debs" && apt-get download -q "${wanted[@]}" >/dev/null)
  for name in "$DIR"/debs/*.deb; do dpkg -x "$name" "$DIR/root"; done
  rm -rf "$DIR/debs"
}

if ! [ -e "$DIR/stamp" ]; then
  echo "fetching wrk, h2load, nginx and haproxy, once" >&2
  missing=()
  for pair in wrk=wrk h2load=nghttp2-client nginx=nginx haproxy=haproxy; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] || fetch "${missing[@]}"
  touch "$DIR/stamp"
fi

# named VARIABLE PROGRAM: where it is, in DIR with the libraries beside it.
named() {
  local program
  for program in "$DIR"/root/usr/bin/"$2" "$DIR"/root/usr/sbin/"$2"; do
    if [ -x "$program" ]; then
      echo "$1=$program"
      return
    fi
  done
  program=$(command -v "$2" || true)
  [ -z "$program" ] || echo "$1=$program"
}
named BENCH_WRK wrk
named BENCH_H2LOAD h2load
named BENCH_NGINX nginx
named BENCH_BACKEND_NGINX nginx
named BENCH_HAPROXY haproxy
named BENCH_BACKEND_H2_HAPROXY haproxy
module=$DIR/root/usr/lib/nginx/modules/ngx_stream_module.so
[ ! -e "$module" ] || echo "BENCH_NGINX_STREAM_MODULE=$module"
[ ! -d "$DIR/root/usr/lib" ] || echo "LD_LIBRARY_PATH=$DIR/root/usr/lib/$(uname -m)-linux-gnu:$DIR/root/lib/$(uname -m)-linux-gnu"
