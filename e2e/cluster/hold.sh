#!/usr/bin/env bash
# Pid 1 of the cluster: makes its mounts and its network private, then sleeps; when it ends, the kernel ends every
# process of the cluster. Started by up.sh in fresh namespaces.
#
# What the node writes to /etc, /opt, /var/lib and /var/log lands in $S/host; the machine's own stay as they are.
set -euo pipefail
. "$(dirname "$0")/settings.sh"

cover_folders() {
  local d
  for d in etc opt var/lib var/log; do
    mkdir -p "$S/host/$d" "$S/host/.work/$d"
    mount -t overlay -o "lowerdir=/$d,upperdir=$S/host/$d,workdir=$S/host/.work/$d" overlay "/$d"
  done
  # /sys of this network namespace, with the cgroups of the machine
  mkdir -p "$S/cgroup"
  mount --rbind /sys/fs/cgroup "$S/cgroup"
  mount -t sysfs sysfs /sys
  mount --rbind "$S/cgroup" /sys/fs/cgroup
  umount -l "$S/cgroup"
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p /run/lock /run/netns /var/lib/kubelet /var/log/pods /etc/cni/net.d /opt/cni/bin
  mount --bind "$S/kubelet" /var/lib/kubelet
  printf 'nameserver %s\nsearch svc.cluster.local cluster.local\noptions ndots:5\n' "$DNS_IP" >"$S/resolv.conf"
  mount --bind "$S/resolv.conf" /etc/resolv.conf
}

# kubelet insists on these and would change them for the whole machine: show it what it wants to see.
cover_kernel_settings() {
  local key value
  mkdir -p "$S/sysctl"
  while read -r key value; do
    echo "$value" >"$S/sysctl/${key//\//.}"
    mount --bind "$S/sysctl/${key//\//.}" "/proc/sys/$key"
  done <<-'K'
	vm/overcommit_memory 1
	vm/panic_on_oom 0
	kernel/panic 10
	kernel/panic_on_oops 1
	kernel/keys/root_maxkeys 1000000
	kernel/keys/root_maxbytes 25000000
	K
}

# A cgroup of the cluster's own, for down.sh to sweep: one per hierarchy of version 1, one in all on version 2.
make_cgroups() {
  local roots=(/sys/fs/cgroup/*/) d
  [ ! -e /sys/fs/cgroup/cgroup.controllers ] || roots=(/sys/fs/cgroup/)
  for d in "${roots[@]}"; do
    [ -e "$d/cgroup.procs" ] && [ "$(basename "$d")" != unified ] || continue
    mkdir -p "$d/$MARK"
    # Version 1 only: an empty cpuset takes no process.
    if [ -e "$d/cpuset.cpus" ] && [ ! -e "$d/cgroup.controllers" ]; then
      cat "$d/cpuset.cpus" >"$d/$MARK/cpuset.cpus"
      cat "$d/cpuset.mems" >"$d/$MARK/cpuset.mems"
    fi
  done
}

# The node's address on a bridge without ports; the routes let local processes send to services, whose addresses
# kube-proxy rewrites.
make_network() {
  ip link set lo up
  ip link add kube0 type bridge
  ip addr add "$NODE_IP/24" dev kube0
  ip link set kube0 up
  ip route add "$SVC_CIDR" dev kube0
  ip route add "$LB_PREFIX.0/24" dev kube0
  sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1
}

cover_folders
cover_kernel_settings
mount --make-rshared /
hostname "$NODE"
make_cgroups
make_network
trap '' CHLD # inherited by sleep: the kernel reaps orphans
exec -a "$MARK" sleep infinity
