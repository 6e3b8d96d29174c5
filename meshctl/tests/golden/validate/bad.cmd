meshctl validate -f fixtures/objects/bad.yaml
meshctl validate -f fixtures/objects/syntax.yaml,fixtures/objects/routes.yaml
meshctl validate -f fixtures/objects/routes.yaml -f fixtures/objects/routes.yaml
