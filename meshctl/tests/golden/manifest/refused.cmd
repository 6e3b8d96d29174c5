meshctl manifest generate --set profile=nosuch
meshctl manifest generate --set values.pilot.nosuch=1
meshctl manifest generate --set values.cni.enabled=true
meshctl manifest generate --set nonsense
meshctl manifest generate -f fixtures/objects/no-such-file.yaml
