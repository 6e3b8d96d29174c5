# Mistakes are told before any cluster is asked; without a cluster, what is missing is.
meshctl install --set profile=dmeo -y
meshctl install --set profile -y
meshctl install --readiness-timeout soon
meshctl install --set profile=demo -y
meshctl install -y --kubeconfig fixtures/kubeconfig.yaml --context nowhere
meshctl install -y -c no-such-file
meshctl install -y --as-group admins --kubeconfig fixtures/kubeconfig.yaml
meshctl install -y --mesh default
meshctl install -y --kubeconfig fixtures/kubeconfig.yaml
meshctl uninstall -y
meshctl uninstall --purge -y
meshctl upgrade --set values.pilot.replicas=2
meshctl tag set Prod --revision canary
meshctl tag set prod
meshctl precheck --from-version one
meshctl manifest diff a.yaml
