meshctl analyze --use-kube=false -A fixtures/analyze/patches.yaml
