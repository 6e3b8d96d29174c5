meshctl proxy-config all -f fixtures/envoy/config_dump.json --with-headers
meshctl pc all -f fixtures/envoy/config_dump.json --name 9080 --cluster none --fqdn reviews --port 9080
