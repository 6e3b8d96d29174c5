# As `install` would set it; what is no workload stays word for word.
meshctl kube-inject -f fixtures/inject/web.yaml --operatorFileName fixtures/inject/operator.yaml
