meshctl proxy-config cluster -f fixtures/envoy/config_dump.json
meshctl pc clusters -f fixtures/envoy/config_dump.json --fqdn reviews --subset v1
meshctl pc c -f fixtures/envoy/config_dump.json --direction inbound
meshctl pc cluster -f fixtures/envoy/config_dump.json --port 9080 --subset v1 -o json
meshctl pc cluster -f fixtures/envoy/config_dump.json --port 9080 --direction inbound -o yaml
