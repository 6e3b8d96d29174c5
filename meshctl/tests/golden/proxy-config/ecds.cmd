meshctl proxy-config ecds -f fixtures/envoy/config_dump.json
