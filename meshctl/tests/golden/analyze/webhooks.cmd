meshctl analyze --use-kube=false -A fixtures/analyze/webhooks.yaml
