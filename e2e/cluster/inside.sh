#!/usr/bin/env bash
# Starts the cluster's programs and waits until they work; runs in the cluster's namespaces, called by up.sh.
#
# inside.sh api|node. control.sh and node.sh say what is started; this file says how: in the background, with a log
# and a pid file, once, and with the last lines of the log when something does not come up.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
export PATH=$DIR/bin:$DIR/root/usr/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export KUBECONFIG=$S/admin.conf

running() {
  local pid
  pid=$(cat "$R/$1.pid" 2>/dev/null) && kill -0 "$pid" 2>/dev/null
}

# bg NAME PROGRAM ARGS...: started unless it runs
bg() {
  local name=$1
  shift
  if running "$name"; then return; fi
  [ ! -f "$L/$name.log" ] || mv -f "$L/$name.log" "$L/$name.log.1"
  setsid "$@" >"$L/$name.log" 2>&1 </dev/null &
  echo $! >"$R/$name.pid"
}

# put FILE: standard input into FILE, which is left alone if it is the same (kube-proxy ends when its file is written)
put() {
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi
}

died() {
  tail -n 15 "$L/$1.log" >&2
  fail "$1 $2, see $L/$1.log"
}

# wait_for NAME SECONDS COMMAND: fails when the program NAME ends or time is up
wait_for() {
  local name=$1 end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    running "$name" || died "$name" ended
    [ $SECONDS -lt $end ] || died "$name" "is not ready after $SECONDS s ($*)"
    sleep .1
  done
}

answers() { curl -sfk --max-time 5 "$@"; }

apply() {
  kubectl apply --server-side --force-conflicts -f "$1" >"$L/apply.log" 2>&1 || died apply "of $1 failed"
}

. "$HERE/control.sh"
. "$HERE/node.sh"
case ${1:?api or node} in
  api) control_plane ;;
  node) node ;;
esac
wait_for kube-controller-manager 60 kubectl -n default get serviceaccount default
for file in "$R"/*.pid; do
  name=$(basename "$file" .pid)
  running "$name" || died "$name" ended
done
