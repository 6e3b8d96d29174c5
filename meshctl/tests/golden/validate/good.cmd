meshctl validate -f ../../samples/bookinfo/networking/bookinfo-gateway.yaml
meshctl validate -f ../../samples/bookinfo
meshctl v -f ../../samples/helloworld -f ../../samples/httpbin
meshctl validate -f fixtures/objects/unhonoured.yaml
