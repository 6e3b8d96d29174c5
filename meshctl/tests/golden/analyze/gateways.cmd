meshctl analyze --use-kube=false -A fixtures/analyze/gateways.yaml
