# istioctl's code for what one object alone has wrong stands for all of ours.
meshctl analyze --use-kube=false fixtures/objects/bad.yaml -S "IST0106=*" -S "IST01*=*" -S "IST0133=*"
meshctl analyze --use-kube=false fixtures/analyze/suppressed.yaml
