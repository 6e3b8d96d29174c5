meshctl proxy-config listener -f fixtures/envoy/config_dump.json
meshctl pc listeners -f fixtures/envoy/config_dump.json --port 9080
meshctl pc l -f fixtures/envoy/config_dump.json --verbose=false
meshctl pc l -f fixtures/envoy/config_dump.json --type tcp
meshctl pc l -f fixtures/envoy/config_dump.json --address 10.96.1.7 -o json
