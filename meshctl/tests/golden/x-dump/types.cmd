meshctl x dump ../../samples/helloworld --proxy deploy/helloworld-v1 --type eds -o yaml
meshctl x dump ../../samples/helloworld --node sidecar~10.0.0.9~elsewhere.default~default.svc.cluster.local --type nds
meshctl x dump ../../samples/helloworld ../../samples/helloworld/helloworld-gateway.yaml --proxy deploy/istio-ingressgateway.istio-system --type rds,vhds -o yaml
meshctl x dump ../../samples/helloworld --proxy deploy/helloworld-v1 --type xds
meshctl x dump ../../samples/helloworld --proxy deploy/helloworld-v3
meshctl x dump ../../samples/helloworld --proxy deploy/istiod.istio-system
meshctl x dump ../../samples/helloworld
