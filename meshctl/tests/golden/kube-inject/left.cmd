# Those that stay without a proxy, and why.
meshctl kube-inject -f fixtures/inject/left.yaml --injectConfigFile fixtures/inject/config.yaml
