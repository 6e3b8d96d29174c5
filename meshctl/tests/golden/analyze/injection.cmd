meshctl analyze --use-kube=false -A fixtures/analyze/injection.yaml
meshctl analyze --use-kube=false fixtures/analyze/injection.yaml --analyzer injection.ImageAutoAnalyzer -o json --failure-threshold Error
meshctl analyze --use-kube=false fixtures/analyze/injection.yaml -S "IST01*=*" -S "IST0002=*"
