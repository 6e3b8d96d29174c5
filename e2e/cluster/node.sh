# The node: containerd, kubelet, kube-proxy, CoreDNS, addresses of LoadBalancer services. Sourced by inside.sh.
#
# Images come from files: the cluster's own are made here from programs of the machine, everything else that lies in
# $DIR/images is imported too. Nothing can be pulled.

# The node says that it is ready, and not before the time $1: what it said before a restart does not count.
ready() {
  local said
  said=$(kubectl get node "$NODE" \
    -o jsonpath='{range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}') &&
    [[ $said == 'True '* && ! ${said#True } < $1 ]]
}

# image NAME ARGS...: localhost/NAME:1 by image.py, made again when the arguments or a program change
image() {
  local name=$1 file key
  shift
  key=$(
    printf '%s ' "$@"
    for file in "$HERE/image.py" "$@"; do [ ! -f "${file%%:*}" ] || stat -Lc '%n %s %y' "${file%%:*}"; done
  )
  [ ! -e "$DIR/images/$name.tar" ] || [ "$(cat "$DIR/images/$name.recipe" 2>/dev/null)" != "$key" ] || return 0
  "$HERE/image.py" "$DIR/images/$name.tar" "localhost/$name:1" "$@" 2>"$L/image.log" || died image "$name could not be made"
  echo "$key" >"$DIR/images/$name.recipe"
}

# busybox, curl, iptables and nft: what pods of tests do with their own network is tried by hand with these.
tools_image() {
  local extensions links
  extensions=$(dirname "$(find /usr/lib -name libxt_REDIRECT.so | head -1)")
  mapfile -t links < <("$DIR/root/bin/busybox" --list | grep -vx busybox | sed 's#.*#--link\n/bin/&=busybox#')
  image tools '["/bin/sh"]' "$DIR/root/bin/busybox:/bin/busybox" "$(command -v curl):/usr/bin/curl" \
    "$(command -v nft):/usr/sbin/nft" "$(command -v xtables-nft-multi):/usr/sbin/xtables-nft-multi" \
    "$extensions:$extensions" --libs "${links[@]}" --link /usr/sbin/iptables=xtables-nft-multi \
    --link /usr/sbin/iptables-save=xtables-nft-multi
}

images() {
  local tar seen
  mkdir -p "$DIR/images" "$S/imported"
  image pause '["/pause"]' "$DIR/bin/pause:/pause"
  image coredns '["/coredns"]' "$DIR/bin/coredns:/coredns"
  tools_image
  for tar in "$DIR"/images/*.tar; do
    seen=$S/imported/$(basename "$tar")
    [ "$(stat -c '%s %y' "$tar")" != "$(cat "$seen" 2>/dev/null)" ] || continue
    ctr images import "$tar" >"$L/import.log" 2>&1 || died import "of $tar failed"
    stat -c '%s %y' "$tar" >"$seen"
  done
}

containerd_server() {
  put /etc/cni/net.d/10-bridge.conflist <<-J
	{"cniVersion": "1.0.0", "name": "pods", "plugins": [
	 {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": {"type": "host-local",
	  "ranges": [[{"subnet": "$POD_NODE_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/ipam"}},
	 {"type": "portmap", "capabilities": {"portMappings": true}}]}
	J
  put "$S/containerd.toml" <<-T
	version = 3
	root = "$S/containerd"
	state = "/run/containerd"
	[grpc]
	  address = "$R/containerd.sock"
	[plugins.'io.containerd.cri.v1.images'.pinned_images]
	  sandbox = "localhost/pause:1"
	[plugins.'io.containerd.cri.v1.runtime']
	  tolerate_missing_hugetlb_controller = true
	  restrict_oom_score_adj = true
	  disable_apparmor = true
	  [plugins.'io.containerd.cri.v1.runtime'.cni]
	    bin_dirs = ["/opt/cni/bin", "$DIR/root/usr/lib/cni"]
	    conf_dir = "/etc/cni/net.d"
	  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
	    runtime_type = "io.containerd.runc.v2"
	    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
	      SystemdCgroup = false
	T
  bg containerd containerd -c "$S/containerd.toml"
  export CONTAINERD_ADDRESS=$R/containerd.sock CONTAINERD_NAMESPACE=k8s.io
}

# kubelet of this node; the disk is the machine's, so it only evicts when that is nearly full
kubelet_server() {
  put "$S/kubelet.yaml" <<-Y
	apiVersion: kubelet.config.k8s.io/v1beta1
	kind: KubeletConfiguration
	failCgroupV1: false
	cgroupDriver: cgroupfs
	cgroupRoot: /$MARK
	containerRuntimeEndpoint: unix://$R/containerd.sock
	authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
	authorization: {mode: Webhook}
	clusterDNS: [$DNS_IP]
	clusterDomain: cluster.local
	resolvConf: $S/resolv.conf
	failSwapOn: false
	serializeImagePulls: false
	imageGCHighThresholdPercent: 100
	imageGCLowThresholdPercent: 99
	evictionHard: {memory.available: 200Mi, nodefs.available: "1%", nodefs.inodesFree: "1%", imagefs.available: "1%"}
	maxPods: 200
	oomScoreAdj: 0
	Y
  bg kubelet kubelet --config="$S/kubelet.yaml" --kubeconfig="$S/kubelet.conf" --hostname-override="$NODE" \
    --node-ip="$NODE_IP" --node-labels=topology.kubernetes.io/region=r1,topology.kubernetes.io/zone=z1
}

services() {
  put "$S/kube-proxy.yaml" <<-Y
	apiVersion: kubeproxy.config.k8s.io/v1alpha1
	kind: KubeProxyConfiguration
	mode: iptables
	clusterCIDR: $POD_CIDR
	hostnameOverride: $NODE
	oomScoreAdj: 0
	clientConnection: {kubeconfig: $S/admin.conf}
	conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
	Y
  bg kube-proxy kube-proxy --config="$S/kube-proxy.yaml"
  bg lb python3 "$HERE/lb.py" "$S/admin.conf" "$LB_PREFIX"
  sed "s/@DNS_IP@/$DNS_IP/" "$HERE/coredns.yaml" >"$S/coredns.yaml"
  apply "$S/coredns.yaml"
}

node() {
  local since
  containerd_server
  control_plane
  wait_for containerd 60 ctr version
  images
  since=$(date -u +%FT%TZ)
  if running kubelet; then since=; fi
  kubelet_server
  services
  wait_for kubelet 120 ready "$since"
  # DNS, pods and kube-proxy work when this answers.
  wait_for kubelet 120 timeout 3 "$DIR/root/bin/busybox" nslookup kubernetes.default.svc.cluster.local
}
