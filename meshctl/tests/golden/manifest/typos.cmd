# What was probably meant.
meshctl manifest generate --set profle=demo
meshctl manifest generate --set values.pilot.autoscaleMn=2
meshctl manifest generate --set values.global.proxy.resorces.requests.cpu=1m
meshctl manifest generate --set values.nonsense.nothing=1
meshctl manifest generate -f fixtures/operator-typos.yaml
meshctl manifest generate -f fixtures/objects/tabs.yaml
meshctl manifest generate -f fixtures/objects/comment.yaml
