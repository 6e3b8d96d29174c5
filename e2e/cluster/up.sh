#!/usr/bin/env bash
# Starts a one-node Kubernetes as plain processes in namespaces of its own (network, mount, pid): nothing of it can
# reach the outside or be reached from there. Run again, it starts what is missing.
#
# up.sh [api|node]   api: etcd and the control plane; pods stay Pending.  node (default): everything, pods run.
# Ends when the cluster works, or with an error that names the log. fetch.sh and build.sh must have run.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
TIER=${1:-node}

check_settings() {
  need_root
  [[ $TIER =~ ^(api|node)$ ]] || fail 'usage: up.sh [api|node]'
  [[ $NET =~ ^[0-9]$ ]] || fail 'MESH_CLUSTER_NET must be 0..9'
  case $DIR/ in /etc/* | /opt/* | /run/* | /var/lib/* | /var/log/* | /var/run/*)
    fail "MESH_CLUSTER_DIR=$DIR: /etc, /opt, /run, /var/lib and /var/log are covered inside the cluster; take another" ;;
  esac
  [ -x "$DIR/root/usr/bin/etcd" ] && command -v runc nft iptables >/dev/null || fail "programs are missing: run $HERE/fetch.sh"
  [ -e "$DIR/bin/.stamp" ] || fail "Kubernetes is not built: run $HERE/build.sh"
}

# A fresh network, whatever a crash left, and pid 1 of the cluster in it.
make_namespaces() {
  local parent child=
  stop_relay
  rm -f "$R"/*
  [ ! -e "/run/netns/$NAME" ] || ip netns del "$NAME"
  ip netns add "$NAME"
  setsid nsenter --net="/run/netns/$NAME" \
    unshare --mount --pid --uts --fork --kill-child --mount-proc bash "$HERE/hold.sh" >"$L/holder.log" 2>&1 9>&- </dev/null &
  parent=$!
  for _ in $(seq 100); do
    child=$(awk -v p=$parent '$1 == "PPid:" && $2 == p { split(FILENAME, f, "/"); print f[3] }' /proc/[0-9]*/status 2>/dev/null | head -1) || true
    if [ -n "$child" ]; then
      echo "$child" >"$S/holder.pid"
      if holder >/dev/null; then return; fi
    fi
    kill -0 $parent 2>/dev/null || break
    sleep .05
  done
  fail "the namespaces could not be made, see $L/holder.log"
}

# One setting of the whole machine: kubelet and its kin watch many files.
raise_watches() {
  [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 1024 ] || sysctl -qw fs.inotify.max_user_instances=1024
}

# This cluster's own: another one may have the port.
api_answers() { relay >/dev/null && curl -sf --cacert "$S/pki/ca.crt" -o /dev/null "https://127.0.0.1:$API_PORT/readyz"; }

# The API server on the machine's loopback, with a kubeconfig for it.
publish_api() {
  if ! relay "$API_PORT=" >/dev/null; then
    stop_relay
    setsid python3 "$HERE/relay.py" "$NAME" "127.0.0.1:$API_PORT=$NODE_IP:6443" >"$L/relay.log" 2>&1 9>&- </dev/null &
    echo $! >"$S/relay.pid"
  fi
  sed "s#server: .*#server: https://127.0.0.1:$API_PORT#" "$S/admin.conf" >"$S/local.conf.new"
  chmod 600 "$S/local.conf.new"
  mv "$S/local.conf.new" "$S/local.conf"
  for _ in $(seq 100); do
    if api_answers; then return; fi
    kill -0 "$(cat "$S/relay.pid")" 2>/dev/null || break
    sleep .1
  done
  fail "127.0.0.1:$API_PORT does not answer: $(tail -n 1 "$L/relay.log") ($L/relay.log)"
}

check_settings
mkdir -p "$R" "$L" "$P" "$S"/{etcd,containerd,kubelet,host}
exec 9>"$S/lock"
flock -w 300 9 || fail 'another up.sh or down.sh holds the lock'
made=$(cat "$S/made" 2>/dev/null || echo "$NET $NODE")
[ "$made" = "$NET $NODE" ] || fail "this cluster was made with NET and NODE '$made': take those, or down.sh --wipe"
echo "$NET $NODE" >"$S/made"
holder >/dev/null || make_namespaces
raise_watches
inside env MESH_CLUSTER_DIR="$DIR" MESH_CLUSTER_NAME="$NAME" MESH_CLUSTER_NET="$NET" MESH_CLUSTER_NODE="$NODE" \
  bash "$HERE/inside.sh" "$TIER" 9>&-
[ -z "$API_PORT" ] || publish_api
echo "cluster $NAME ($TIER) is ready after $SECONDS s"
