meshctl proxy-config log -f fixtures/envoy/logging.txt -o json
