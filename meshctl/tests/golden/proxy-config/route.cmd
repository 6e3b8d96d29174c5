meshctl proxy-config route -f fixtures/envoy/config_dump.json
meshctl pc routes -f fixtures/envoy/config_dump.json --name 9080
meshctl pc r -f fixtures/envoy/config_dump.json --verbose=false
meshctl pc r -f fixtures/envoy/config_dump.json --name http.8080 -o json
