meshctl proxy-config eds -f fixtures/envoy/config_dump.json
meshctl pc eds -f fixtures/envoy/config_dump.json --address 10.244.0.3 -o json
