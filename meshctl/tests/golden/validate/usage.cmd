meshctl validate
meshctl validate -f nothing-here.yaml
