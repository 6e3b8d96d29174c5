meshctl analyze -L
meshctl analyze --use-kube=false fixtures/objects/dangling.yaml --analyzer nothing.Analyzer
meshctl analyze --use-kube=false fixtures/objects/dangling.yaml --remote-contexts a,b
meshctl analyze --remote-contexts a,b
meshctl analyze --use-kube=false fixtures/objects/routes.yaml -v --timeout 1s --color=false
meshctl analyze --use-kube=false --timeout soon fixtures/objects/routes.yaml
meshctl analyze --kubeconfig fixtures/no-such-config fixtures/objects/routes.yaml
