meshctl proxy-status --context kind
meshctl proxy-status -c fixtures/no-such-config
meshctl get pods --kubeconfig k
meshctl nonsense
