meshctl proxy-config secret -f fixtures/envoy/config_dump.json
meshctl proxy-config secret -f fixtures/envoy/config_dump.json -o json
