# Every kind that makes pods, and settings of files alone.
meshctl kube-inject -f fixtures/inject/kinds.yaml --injectConfigFile fixtures/inject/config.yaml --valuesFile fixtures/inject/values.yaml --meshConfigFile fixtures/inject/mesh.yaml -n shop --revision canary
