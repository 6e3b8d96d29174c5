meshctl x decide ../../samples/bookinfo fixtures/objects/routes.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/old/7?x=1' -H 'end-user: jason'
meshctl x decide ../../samples/bookinfo fixtures/objects/routes.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/moved'
meshctl x decide ../../samples/bookinfo fixtures/objects/routes.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/teapot'
meshctl x decide ../../samples/bookinfo fixtures/objects/routes.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/' --seed 1 -o json
meshctl x decide ../../samples/bookinfo fixtures/objects/routes.yaml --from deploy/productpage-v1 --request 'GET http://reviews:9080/' --seed 3
