meshctl analyze --use-kube=false -A fixtures/analyze/workloads.yaml
