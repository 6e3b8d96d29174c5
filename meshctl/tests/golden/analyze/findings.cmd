meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml
meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml -o json
meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml -o yaml --output-threshold Error
