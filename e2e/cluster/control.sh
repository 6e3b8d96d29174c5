# The control plane: etcd, kube-apiserver, kube-controller-manager, kube-scheduler. Sourced by inside.sh.
#
# Certificates and kubeconfigs are kubeadm's. etcd does not sync to disk: a test cluster may lose what a crash of the
# machine loses. Nothing elects leaders, there is one of each.

keys() {
  put "$S/kubeadm.yaml" <<-Y
	apiVersion: kubeadm.k8s.io/v1beta4
	kind: InitConfiguration
	localAPIEndpoint: {advertiseAddress: $NODE_IP, bindPort: 6443}
	nodeRegistration: {name: $NODE, criSocket: "unix://$R/containerd.sock"}
	---
	apiVersion: kubeadm.k8s.io/v1beta4
	kind: ClusterConfiguration
	kubernetesVersion: $(kube-apiserver --version | awk '{print $2}')
	clusterName: $NAME
	certificatesDir: $P
	controlPlaneEndpoint: $NODE_IP:6443
	networking: {serviceSubnet: $SVC_CIDR, podSubnet: $POD_CIDR, dnsDomain: cluster.local}
	apiServer: {certSANs: [127.0.0.1, localhost, $NODE_IP]}
	Y
  kubeadm init phase certs all --config "$S/kubeadm.yaml" &&
    kubeadm init phase kubeconfig all --config "$S/kubeadm.yaml" --kubeconfig-dir "$S" && touch "$P/done"
}

etcd_server() {
  bg etcd etcd --data-dir "$S/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
}

api_server() {
  bg kube-apiserver kube-apiserver --advertise-address="$NODE_IP" --secure-port=6443 \
    --etcd-servers=http://127.0.0.1:2379 --allow-privileged=true --service-cluster-ip-range="$SVC_CIDR" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --client-ca-file="$P/ca.crt" \
    --tls-cert-file="$P/apiserver.crt" --tls-private-key-file="$P/apiserver.key" \
    --kubelet-client-certificate="$P/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$P/apiserver-kubelet-client.key" --kubelet-preferred-address-types=InternalIP \
    --proxy-client-cert-file="$P/front-proxy-client.crt" --proxy-client-key-file="$P/front-proxy-client.key" \
    --requestheader-client-ca-file="$P/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --requestheader-group-headers=X-Remote-Group \
    --requestheader-username-headers=X-Remote-User \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$P/sa.pub" --service-account-signing-key-file="$P/sa.key"
}

controllers() {
  local conf=$S/controller-manager.conf
  bg kube-controller-manager kube-controller-manager --kubeconfig="$conf" \
    --authentication-kubeconfig="$conf" --authorization-kubeconfig="$conf" --bind-address=127.0.0.1 \
    --client-ca-file="$P/ca.crt" --requestheader-client-ca-file="$P/front-proxy-ca.crt" --root-ca-file="$P/ca.crt" \
    --cluster-signing-cert-file="$P/ca.crt" --cluster-signing-key-file="$P/ca.key" \
    --service-account-private-key-file="$P/sa.key" --use-service-account-credentials=true \
    --allocate-node-cidrs=true --cluster-cidr="$POD_CIDR" --service-cluster-ip-range="$SVC_CIDR" --leader-elect=false
  conf=$S/scheduler.conf
  bg kube-scheduler kube-scheduler --kubeconfig="$conf" --authentication-kubeconfig="$conf" \
    --authorization-kubeconfig="$conf" --bind-address=127.0.0.1 --leader-elect=false
}

# kubeadm's admin is in a group that nothing binds yet.
bind_admin() {
  [ ! -e "$S/bound" ] || return 0
  KUBECONFIG=$S/super-admin.conf kubectl create clusterrolebinding kubeadm:cluster-admins \
    --clusterrole=cluster-admin --group=kubeadm:cluster-admins >"$L/bind.log" 2>&1 || died bind failed
  touch "$S/bound"
}

control_plane() {
  etcd_server
  [ -e "$P/done" ] || keys >"$L/kubeadm.log" 2>&1 || died kubeadm failed
  wait_for etcd 30 answers http://127.0.0.1:2379/health
  api_server
  wait_for kube-apiserver 120 answers "https://$NODE_IP:6443/readyz"
  controllers
  bind_admin
}
