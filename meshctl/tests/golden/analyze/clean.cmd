meshctl analyze --use-kube=false ../../samples/bookinfo ../../samples/bookinfo/networking/destination-rule-reviews.yaml
meshctl analyze ../../samples/helloworld -o json
