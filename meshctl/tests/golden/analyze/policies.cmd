meshctl analyze --use-kube=false -A fixtures/analyze/policies.yaml
