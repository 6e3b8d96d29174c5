#!/usr/bin/env bash
# Ends the API server without warning and starts it again; everything else of the cluster goes on.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
need_root
holder >/dev/null || fail "cluster $NAME is not up"
pid=$(cat "$R/kube-apiserver.pid")
inside kill -KILL "$pid"
for _ in $(seq 100); do
  inside kill -0 "$pid" 2>/dev/null || break
  sleep .1
done
exec "$HERE/up.sh" api
