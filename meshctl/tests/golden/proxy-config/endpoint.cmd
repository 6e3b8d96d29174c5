meshctl proxy-config endpoint -f fixtures/envoy/clusters.json
meshctl pc endpoints -f fixtures/envoy/clusters.json --status unhealthy
meshctl pc ep -f fixtures/envoy/clusters.json --cluster outbound|9080|v1|reviews.default.svc.cluster.local -o json
