meshctl proxy-config bootstrap -f fixtures/envoy/config_dump.json -o short
meshctl pc b -f fixtures/envoy/config_dump.json
