#!/usr/bin/env bash
# Shows that a cluster of tier node can do what the mesh's tests need, so that their failures are the mesh's own: one
# line per ability, exit status 1 if one is missing. Cleans up after itself; KEEP=1 leaves the objects of check.yaml.
set -uo pipefail
. "$(dirname "$0")/settings.sh"
[ -n "${IN_CLUSTER_NET:-}" ] || IN_CLUSTER_NET=1 exec "$HERE/exec.sh" "$0" "$@"
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
missing=0

# try WHAT COMMAND...
try() {
  local what=$1 start=$EPOCHREALTIME
  shift
  if "$@" >"$T/out" 2>&1; then
    printf 'ok    %-72s %5.1f s\n' "$what" "$(echo "$EPOCHREALTIME $start" | awk '{print $1 - $2}')"
  else
    printf 'FAIL  %s\n' "$what"
    sed 's/^/      /' "$T/out" | tail -n 15
    missing=1
  fi
}

k() { kubectl -n check "$@"; }

# kube-proxy may be a second behind
eventually() {
  for _ in $(seq 50); do
    "$@" && return 0
    sleep .2
  done
  return 1
}

clean() {
  kubectl delete mutatingwebhookconfiguration check --ignore-not-found
  kubectl delete crd things.check.example --ignore-not-found
  kubectl delete ns check --ignore-not-found --timeout=60s
} >/dev/null 2>&1

load_image() {
  "$HERE/image.py" "$T/check.tar" localhost/check:1 '["/check"]' "$DIR/bin/check:/check" && ctr images import "$T/check.tar"
}

certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=webhook.check.svc \
    -addext subjectAltName=DNS:webhook.check.svc -keyout "$T/tls.key" -out "$T/tls.crt" &&
    kubectl create ns check &&
    k create secret tls webhook --cert="$T/tls.crt" --key="$T/tls.key"
}

resolves() {
  k exec client -- nslookup web.check.svc.cluster.local | grep -F "$(k get svc web -o jsonpath='{.spec.clusterIP}')"
}

fetches() { k exec client -- curl -sf --max-time 5 "$1"; }
from_node() { curl -sf --max-time 5 "$1"; }

# balances URL COMMAND...: 30 answers, none missing, from two hosts
balances() {
  local url=$1
  shift
  eventually "$@" "$url" >/dev/null || return 1
  for _ in $(seq 30); do "$@" "$url" || return 1; done >"$T/answers"
  awk '{ n[$1]++ } END { for (h in n) { print n[h], h; hosts++ } exit hosts != 2 }' "$T/answers"
}

lb_ip() { k get svc web-lb -o jsonpath='{.status.loadBalancer.ingress[0].ip}'; }
has_lb() { [ -n "$(lb_ip)" ]; }

forward() {
  local pid status=0
  k port-forward deploy/web 18080:8080 >"$T/forward" 2>&1 &
  pid=$!
  eventually curl -sf http://127.0.0.1:18080/ || status=1
  kill $pid
  return $status
}

exec_in_pod() { k exec client -- sh -c 'id -u' | grep -x 0; }
shows_logs() { k logs deploy/web -c web | grep 'GET /'; }

not_ready() {
  local ip
  ip=$(k get pod never-ready -o jsonpath='{.status.podIP}')
  [ -n "$ip" ] && k get endpointslice -l kubernetes.io/service-name=web \
    -o jsonpath="{.items[*].endpoints[?(@.addresses[0]==\"$ip\")].conditions.ready}" | grep -x false
}

# review TOKEN AUDIENCE
review() {
  kubectl create -f - \
    -o jsonpath='{.status.authenticated} {.status.user.username} {.status.audiences}{"\n"}' <<-J
	{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "$1", "audiences": ["$2"]}}
	J
}

token() {
  local token
  token=$(k exec client -- cat /var/run/secrets/tokens/istio-token) &&
    review "$token" istio-ca | tee /dev/stderr | grep -F 'true system:serviceaccount:check:default ["istio-ca"]' &&
    review "$token" other | tee /dev/stderr | grep -v true
}

redirected() { k exec redirect -c app -- curl -sf --max-time 5 "$1" | grep '^redirect '; }
arrives() {
  k exec client -- curl -sf --max-time 5 "http://$(k get pod redirect -o jsonpath='{.status.podIP}'):82/" | grep '^redirect '
}

node_proxy() {
  k exec node-proxy -- sh -c 'ls /host/etc/cni/net.d/*.conflist && touch /host/opt/cni/bin/x && rm /host/opt/cni/bin/x &&
    for n in /var/run/netns/*; do nsenter --net=$n ip -4 addr show eth0; done' |
    tee /dev/stderr | grep -F " $(k get pod client -o jsonpath='{.status.podIP}')/"
}

mutated_pod() { k run shown --image=localhost/tools:1 --image-pull-policy=Never --restart=Never --command -- true; }

webhook() {
  kubectl create -f - <<-Y && eventually mutated_pod && k get pod shown -o jsonpath='{.metadata.labels.mutated}' | grep -x yes && k logs webhook | grep mutate
	apiVersion: admissionregistration.k8s.io/v1
	kind: MutatingWebhookConfiguration
	metadata: {name: check}
	webhooks:
	- name: webhook.check.svc
	  clientConfig: {service: {namespace: check, name: webhook, path: /mutate}, caBundle: $(base64 -w0 "$T/tls.crt")}
	  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
	  namespaceSelector: {matchLabels: {mutate: "yes"}}
	  sideEffects: None
	  admissionReviewVersions: [v1]
	  failurePolicy: Fail
	  timeoutSeconds: 5
	Y
}

# thing NAME SIZE
thing() {
  kubectl create -f - <<-J
	{"apiVersion": "check.example/v1", "kind": "Thing", "metadata": {"name": "$1", "namespace": "check"}, "spec": {"size": $2}}
	J
}
crd() {
  kubectl wait --for=condition=Established crd/things.check.example --timeout=10s && thing small 3 &&
    ! thing big 30 2>"$T/big" && grep 'too big' "$T/big"
}

lease() {
  kubectl -n kube-node-lease get lease "$NODE" && kubectl create -f - <<-Y &&
	apiVersion: coordination.k8s.io/v1
	kind: Lease
	metadata: {name: l, namespace: check}
	spec: {holderIdentity: a, leaseDurationSeconds: 15}
	Y
    k patch lease l --type=merge -p '{"spec":{"holderIdentity":"b"}}' &&
    k get lease l -o jsonpath='{.spec.holderIdentity}' | grep -x b
}

no_way_out() { ! ip route get 192.0.2.1 && ! k exec client -- curl -sf --max-time 2 http://192.0.2.1/; }

kubectl get "node/$NODE" >/dev/null || fail "no node: up.sh node"
clean
try 'image made from files and imported' load_image
try 'namespace and secret' certificate
try 'objects applied' kubectl apply -f "$HERE/check.yaml"
try 'deployment of 2: init container ran, readiness probe passed' k rollout status deploy/web --timeout=60s
try 'pods ready' k wait --for=condition=Ready pod/client pod/redirect pod/webhook pod/node-proxy --timeout=60s
try 'service name resolves' resolves
try 'fetched by name' eventually fetches http://web.check/
try 'cluster IP: 30 requests reach both replicas' balances http://web.check/ fetches
try 'readiness probe keeps a pod out of its service' not_ready
try 'LoadBalancer gets an address' eventually has_lb
try 'LoadBalancer address reaches both replicas from the node' balances "http://$(lb_ip)/" from_node
try 'LoadBalancer address answers a pod' eventually fetches "http://$(lb_ip)/"
try 'kubectl exec' exec_in_pod
try 'kubectl logs' shows_logs
try 'kubectl port-forward' forward
try 'native sidecar starts first; its job completes' k wait --for=condition=Complete job/sidecar --timeout=60s
try 'nft redirect in a pod' redirected http://198.51.100.1:80/
try 'iptables redirect in a pod' redirected http://198.51.100.1:81/
try 'iptables redirect of what arrives' arrives
try 'privileged pod enters the network namespaces of the others' node_proxy
try 'token with audience istio-ca: TokenReview says yes, for another audience no' token
try 'mutating webhook in a pod is called' webhook
try 'CRD with a CEL rule' crd
try 'leases' lease
try 'no way out' no_way_out
[ -n "${KEEP:-}" ] || try 'cleaned up' clean
exit $missing
