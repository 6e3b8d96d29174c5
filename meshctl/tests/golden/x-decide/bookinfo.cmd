# The request-routing task: jason sees v2, everybody else v1; the gateway sends its paths to productpage.
meshctl x decide ../../samples/bookinfo ../../samples/bookinfo/networking/destination-rule-all.yaml ../../samples/bookinfo/networking/virtual-service-reviews-test-v2.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/reviews/0' -H 'end-user: jason'
meshctl x decide ../../samples/bookinfo ../../samples/bookinfo/networking/destination-rule-all.yaml ../../samples/bookinfo/networking/virtual-service-reviews-test-v2.yaml --from deploy/productpage-v1 --request 'http://reviews.default:9080/reviews/0'
meshctl x decide ../../samples/bookinfo --from deploy/istio-ingressgateway.istio-system --request 'GET http://localhost/productpage'
meshctl x decide ../../samples/bookinfo --from deploy/istio-ingressgateway.istio-system --request 'GET http://localhost/admin'
