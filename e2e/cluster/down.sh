#!/usr/bin/env bash
# Stops the cluster that up.sh started: everything of it is in one pid namespace and ends with it.
#
# Objects and images stay for the next up.sh; down.sh --wipe forgets them (programs and image files stay).
set -euo pipefail
. "$(dirname "$0")/settings.sh"
need_root
[ -d "$S" ] || { echo "no cluster $NAME in $DIR"; exit 0; }
exec 9>"$S/lock"
flock -w 300 9 || fail 'another up.sh or down.sh holds the lock'

# Those with data end in order, once the ones that use them are gone. Runs inside; some may not be there.
orderly='cd "$1"
for n in kubelet kube-apiserver; do kill -KILL "$(cat $n.pid)"; done
for n in etcd containerd; do kill "$(cat $n.pid)"; done
for _ in $(seq 30); do
  kill -0 "$(cat etcd.pid)" || kill -0 "$(cat containerd.pid)" || break
  sleep .1
done'

end() {
  inside bash -c "$orderly" - "$R" >/dev/null 2>&1 9>&- || true
  kill -KILL "$1" 2>/dev/null || true # pid 1: the kernel ends every process of its namespace, containers too
  for _ in $(seq 100); do
    [ -e "/proc/$1" ] || return 0
    sleep .1
  done
  fail "process $1 does not end"
}

sweep_cgroups() {
  local left
  for _ in $(seq 30); do
    left=$(find /sys/fs/cgroup -maxdepth 2 -name "$MARK" -type d 2>/dev/null)
    [ -n "$left" ] || return 0
    # One folder per line, none with blanks.
    # shellcheck disable=SC2086
    find $left -depth -type d -exec rmdir {} + 2>/dev/null || sleep .1
  done
  echo "cgroups are left: $left" >&2
}

stop_relay
if pid=$(holder); then end "$pid"; fi
rm -f "$S"/*.pid "$R"/*
sweep_cgroups
[ ! -e "/run/netns/$NAME" ] || ip netns del "$NAME"
[ -n "$(ls -A /run/netns 2>/dev/null)" ] || umount /run/netns 2>/dev/null || true # ip made it a mount
[ "${1:-}" != --wipe ] || rm -rf "$S"
echo "cluster $NAME is down"
