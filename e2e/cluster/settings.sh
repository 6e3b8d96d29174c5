# Settings of the cluster and how to find what runs; sourced by the other scripts.
#
# Each setting may come from the environment (README.md lists them). Nothing here starts or changes anything.
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DIR=$(realpath -m "${MESH_CLUSTER_DIR:-/var/cache/mesh-cluster}") # programs, images, state, logs
NAME=${MESH_CLUSTER_NAME:-kube}     # network namespace, cgroup, state folder
NET=${MESH_CLUSTER_NET:-0}          # 0..9, part of every address; a second cluster takes another NAME and NET
NODE=${MESH_CLUSTER_NODE:-node1}
API_PORT=${MESH_CLUSTER_API_PORT:-} # if set, the API server also answers on the machine's 127.0.0.1:API_PORT

S=$DIR/clusters/$NAME               # this cluster's state
R=$S/run                            # process ids and sockets
L=$S/log
P=$S/pki
NODE_IP=172.30.$NET.1
LB_PREFIX=172.31.$NET               # addresses of LoadBalancer services
POD_CIDR=10.$((244 - NET)).0.0/16
POD_NODE_CIDR=10.$((244 - NET)).0.0/24
SVC_CIDR=10.$((96 + NET)).0.0/16
DNS_IP=10.$((96 + NET)).0.10
MARK=mesh-cluster-$NAME             # argv[0] of the process that holds the namespaces

# A proxy of the outside world has no place in a network without one.
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

need_root() { [ "$(id -u)" = 0 ] || fail 'must run as root'; }

# The first word of a process's command line, nothing if it is gone.
called() { [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' <"/proc/$1/cmdline"; }

# The process that holds the namespaces, if it lives.
holder() {
  local pid
  pid=$(cat "$S/holder.pid" 2>/dev/null) && [[ $(called "$pid") == "$MARK "* ]] && echo "$pid"
}

# Runs a command in the mount, network, pid and host name namespaces of the cluster.
inside() { nsenter -t "$(holder)" -m -n -p -u -- "$@"; }

# The relay of the API port, if it lives.  relay [PORT]
relay() {
  local pid
  pid=$(cat "$S/relay.pid" 2>/dev/null) && [[ $(called "$pid") == *"relay.py $NAME 127.0.0.1:${1:-}"* ]] && echo "$pid"
}

stop_relay() {
  local pid
  if pid=$(relay); then kill "$pid"; fi
  rm -f "$S/relay.pid"
}
