# Warnings fail only where they are asked to.
meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml -S 'IST0101=VirtualService *'
meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml -S 'IST0101=VirtualService *' --failure-threshold warning
meshctl analyze ../../samples/bookinfo fixtures/objects/dangling.yaml -S '*=*'
meshctl analyze fixtures/objects/syntax.yaml
meshctl analyze fixtures/objects/syntax.yaml --ignore-unknown
meshctl analyze --failure-threshold loud
