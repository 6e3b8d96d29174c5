meshctl kube-inject
meshctl kube-inject -f fixtures/inject/none.yaml
meshctl kube-inject -f fixtures/inject/web.yaml
meshctl kube-inject -f fixtures/inject/broken.yaml --injectConfigFile fixtures/inject/config.yaml
meshctl kube-inject -f fixtures/inject/annotation.yaml --injectConfigFile fixtures/inject/config.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --injectConfigFile fixtures/inject/none.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --injectConfigFile fixtures/inject/wrong-config.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --injectConfigFile fixtures/inject/web.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --valuesFile fixtures/inject/broken.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --meshConfigFile fixtures/inject/wrong-mesh.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --operatorFileName fixtures/operator-wrong.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --operatorFileName fixtures/inject/operator.yaml --meshConfigFile fixtures/inject/mesh.yaml
meshctl kube-inject -f fixtures/inject/web.yaml --operatorFileName fixtures/inject/operator.yaml --injectConfigMapName mine
meshctl kube-inject -f fixtures/inject/web.yaml --mesh default
meshctl x kube-inject -f fixtures/inject/web.yaml
meshctl x check-inject
meshctl x check-inject deploy/web
meshctl x injector list
