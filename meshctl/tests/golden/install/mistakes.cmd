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
meshctl install -f fixtures/operator-wrong.yaml --set values.pilot.env=x -y
meshctl install -f fixtures/kubeconfig.yaml -y
meshctl install --revision Canary.1 -y
meshctl install --set values.pilot.env=x --set values.pilot.autoscaleMin=many -y
meshctl install --set components.pilot=1 --set components.ingressGateways[0].enabled=yess -y
meshctl install --set meshConfig.accesslogFile=/dev/stdout -y
meshctl install --set values=3 -y
