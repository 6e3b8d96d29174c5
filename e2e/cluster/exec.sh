#!/usr/bin/env bash
# Runs a command in the cluster's network, with KUBECONFIG, PATH and containerd's address set.
#
# exec.sh kubectl get pods -A;  exec.sh curl http://172.31.0.10/;  exec.sh ctr images import FILE
# -m: also in its mount and pid namespaces, as the node sees itself (cluster DNS, /run/netns, /var/log/pods, ps).
set -euo pipefail
. "$(dirname "$0")/settings.sh"
where=(--net="/run/netns/$NAME")
if [ "${1:-}" = -m ]; then
  where=(-t "$(holder)" -m -n -p -u) || true
  shift
fi
[ $# -gt 0 ] || fail 'usage: exec.sh [-m] COMMAND ...'
need_root
[ -e "/run/netns/$NAME" ] && [ -f "$S/admin.conf" ] && holder >/dev/null || fail "cluster $NAME is not up"
export KUBECONFIG=$S/admin.conf CONTAINERD_ADDRESS=$R/containerd.sock CONTAINERD_NAMESPACE=k8s.io
export PATH=$DIR/bin:$DIR/root/usr/bin:$PATH:/usr/sbin:/sbin
exec nsenter "${where[@]}" -- "$@"
