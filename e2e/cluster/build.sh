#!/usr/bin/env bash
# Builds Kubernetes (one program that goes by many names), CoreDNS, pause and check.sh's server from the Go module
# proxy into $DIR/bin; versions and checksums are pinned by go/*/go.mod and go.sum.
#
# Needs Go 1.25 or newer. 8 to 11 minutes on two cores, once per machine; a second run does nothing.
# build.sh --update v1.34.N pins another Kubernetes first. KEEP_GO=1 keeps 4 GB of compile cache.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
export GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -modcacherw' CGO_ENABLED=0 GOMODCACHE=$DIR/go/mod GOCACHE=$DIR/go/cache
export GOGC=${GOGC:-400} # the compiler trades memory (2 to 3 GB) for a tenth of the time
command -v go >/dev/null || fail 'no go in PATH: Go 1.25 or newer builds Kubernetes (https://go.dev/dl)'
PROGRAMS='kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubeadm kubectl'
FLAGS='-trimpath -tags=grpcnotrace -gcflags=all=-dwarf=false'
mkdir -p "$DIR/bin" "$DIR/go"
exec 9>"$DIR/go/lock"
flock 9

# Its go.mod asks for every staging module at v0.0.0, which no proxy has: each is replaced by its published
# version v0.MINOR.PATCH. Not every patch version is published completely.
update() {
  local version=$1 mod m
  cd "$HERE/go/kube"
  rm -f go.mod go.sum
  go mod init kube
  go mod edit -go=1.24.0 -godebug=default=go1.24 -require="k8s.io/kubernetes@$version"
  mod=$(go mod download -json "k8s.io/kubernetes@$version" | python3 -c 'import json,sys; print(json.load(sys.stdin)["GoMod"])')
  for m in $(awk '$2 == "v0.0.0" {print $1}' "$mod"); do go mod edit -replace="$m=$m@v0.${version#v1.}"; done
  go mod tidy
}
[ "${1:-}" != --update ] || update "${2:?version, for example v1.34.4}"

cd "$HERE/go"
VERSION=$(awk '$1 == "k8s.io/kubernetes" {print $2}' kube/go.mod)
SOURCES=$(cat */main.go */go.mod */go.sum <(echo "$FLAGS") | sha256sum | cut -c1-16)
STAMP="$VERSION $(go env GOVERSION) $SOURCES"

built() {
  local p
  [ "$(cat "$DIR/bin/.stamp" 2>/dev/null)" = "$STAMP" ] || return 1
  for p in kube coredns pause check $PROGRAMS; do [ -x "$DIR/bin/$p" ] || return 1; done
}

# one NAME LDFLAGS
one() {
  local start=$SECONDS
  cd "$HERE/go/$1"
  # FLAGS are words.
  # shellcheck disable=SC2086
  go build -mod=readonly $FLAGS -ldflags "$2" -o "$DIR/bin/$1.new" . || fail "building $1 failed"
  mv "$DIR/bin/$1.new" "$DIR/bin/$1"
  echo "built $1: $((SECONDS - start)) s, $(du -m "$DIR/bin/$1" | cut -f1) MB"
}

if built; then exit 0; fi
echo 'building Kubernetes, CoreDNS and pause: about 10 minutes, once per machine'
kube_flags='-s -w'
for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  kube_flags+=" -X $p.gitVersion=$VERSION -X $p.gitMajor=1 -X $p.gitMinor=$(echo "$VERSION" | cut -d. -f2)"
  kube_flags+=" -X $p.gitTreeState=clean -X $p.gitCommit=0000000000000000000000000000000000000000"
  kube_flags+=" -X $p.buildDate=2026-01-01T00:00:00Z"
done
rm -f "$DIR/bin/.stamp"
one pause '-s -w'
one check '-s -w'
one coredns '-s -w'
one kube "$kube_flags"
for p in $PROGRAMS; do ln -sf kube "$DIR/bin/$p"; done
echo "$STAMP" >"$DIR/bin/.stamp"
[ -n "${KEEP_GO:-}" ] || rm -rf "$DIR/go/mod" "$DIR/go/cache"
