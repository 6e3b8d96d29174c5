#!/bin/sh
# Removes bookinfo and every route to it. NAMESPACE says from where; without it, it is asked on a terminal, else "default".
set -u
here=$(dirname "$0")

if [ -z "${NAMESPACE:-}" ]; then
  if [ -t 0 ]; then
    printf 'namespace ? [default] '
    read -r NAMESPACE
  fi
  NAMESPACE=${NAMESPACE:-default}
fi

remove() {
  for object in $(kubectl get "$1" -n "$NAMESPACE" -o name 2>/dev/null); do
    kubectl delete -n "$NAMESPACE" "$object"
  done
}

for kind in destinationrules.networking.istio.io virtualservices.networking.istio.io gateways.networking.istio.io \
  httproutes.gateway.networking.k8s.io gateways.gateway.networking.k8s.io; do
  remove "$kind"
done
kubectl delete -n "$NAMESPACE" -f "$here/bookinfo.yaml" --ignore-not-found
echo 'Application cleanup successful'
