meshctl analyze --use-kube=false -A fixtures/analyze/annotations.yaml
