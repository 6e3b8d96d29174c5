# The short forms stand anywhere, as istioctl's do.
meshctl proxy-config routes web -c fixtures/no-such-config
meshctl -n default proxy-config -i istio-system cluster web -c fixtures/no-such-config
meshctl x describe pod web -i istio-system -c fixtures/no-such-config
meshctl dashboard kiali -c fixtures/no-such-config
meshctl tag list -c fixtures/no-such-config
meshctl kube-inject -f fixtures/inject/web.yaml -c fixtures/no-such-config
