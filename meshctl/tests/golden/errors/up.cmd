# Nothing is started when there is nothing to run.
meshctl up -d fixtures/objects/unknown-image.yaml
meshctl up fixtures/objects/empty.yaml
meshctl up no-such-file.yaml
meshctl apply fixtures/objects/empty.yaml
meshctl apply
meshctl delete
