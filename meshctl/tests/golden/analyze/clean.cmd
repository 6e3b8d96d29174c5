meshctl analyze --use-kube=false ../../samples/bookinfo ../../samples/bookinfo/networking/destination-rule-all.yaml
meshctl analyze ../../samples/helloworld -o json
