meshctl proxy-config clusters
meshctl proxy-config clusters a-pod
meshctl proxy-config clusters -f fixtures/envoy/clusters.json
meshctl proxy-config clusters -f nothing-here.json
meshctl proxy-config clusters -f fixtures/envoy/config_dump.json -o table
meshctl proxy-config endpoints -f fixtures/envoy/config_dump.json
