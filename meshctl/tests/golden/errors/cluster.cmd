meshctl proxy-status --context kind
meshctl proxy-status -c /root/.kube/config
meshctl get pods --kubeconfig k
meshctl nonsense
