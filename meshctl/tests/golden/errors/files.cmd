# Kinds nearly right, tabs, blanks too many, nothing at all.
meshctl validate -f fixtures/objects/kinds.yaml
meshctl validate -f fixtures/objects/tabs.yaml
meshctl validate -f fixtures/objects/indent.yaml
meshctl validate -f fixtures/objects/comment.yaml
meshctl analyze --use-kube=false fixtures/objects/comment.yaml
meshctl kube-inject -f fixtures/objects/comment.yaml --injectConfigFile fixtures/inject/config.yaml
meshctl analyze --use-kube=false fixtures/objects/bad.yaml -o jsn
