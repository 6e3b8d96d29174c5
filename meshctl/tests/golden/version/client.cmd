meshctl version
meshctl version --remote=false
meshctl version --context kind
meshctl version --remote=false -o json
meshctl version --remote=false -o yaml
