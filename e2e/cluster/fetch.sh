#!/usr/bin/env bash
# Fetches what is not built from source: etcd, containerd and the CNI plugins of Debian sid, unpacked into $DIR/root
# and not installed; small tools (runc, nft, iptables, ...) are installed from the machine's own suite if missing.
#
# Needs root and apt with a Debian mirror, whose address is taken from apt's own configuration. A second run does nothing.
set -euo pipefail
. "$(dirname "$0")/settings.sh"
ROOT=$DIR/root
APT=$DIR/apt
LOG=$DIR/fetch.log
export DEBIAN_FRONTEND=noninteractive
need_root
command -v apt-get >/dev/null || fail 'needs apt: etcd, containerd and CNI plugins come from a Debian mirror'
mkdir -p "$DIR"
exec 9>"$DIR/fetch.lock"
flock 9

# Runs an apt-get command; once more after an update of the lists if it fails.
patiently() {
  "$@" >>"$LOG" 2>&1 || { apt-get update -q >>"$LOG" 2>&1 && "$@" >>"$LOG" 2>&1; } || fail "$* failed, see $LOG"
}

tools() {
  local missing=() pair
  for pair in runc=runc iptables=iptables nft=nftables conntrack=conntrack ip=iproute2 curl=curl \
    python3=python3 nsenter=util-linux sysctl=procps; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] || patiently apt-get install -y -q --no-install-recommends "${missing[@]}"
}

works() {
  "$ROOT/usr/bin/etcd" --version && "$ROOT/usr/bin/etcdctl" version && "$ROOT/usr/bin/containerd" --version &&
    "$ROOT/usr/bin/ctr" --version && [ -x "$ROOT/usr/bin/containerd-shim-runc-v2" ] &&
    [ -x "$ROOT/usr/lib/cni/bridge" ] && "$ROOT/bin/busybox" true
}

# apt-get with the lists of sid alone, kept beside the machine's own.
sid() {
  local command=$1
  shift
  apt-get "$command" -q -o Dir::Etc::sourcelist="$APT/sid.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::State::Lists="$APT/lists" -o Dir::Cache="$APT/cache" -o APT::Sandbox::User=root "$@"
}

programs() {
  local mirror key=/usr/share/keyrings/debian-archive-keyring.gpg deb
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -E '/debian/?$' | sort -u | head -1) || true
  [ -n "$mirror" ] || fail 'no Debian mirror in the apt sources'
  [ -f "$key" ] || fail "no $key (package debian-archive-keyring)"
  rm -rf "$APT" "$ROOT.new"
  mkdir -p "$APT"/lists/partial "$APT"/cache/archives/partial "$APT/debs" "$ROOT.new/bin"
  echo "deb [signed-by=$key] $mirror sid main" >"$APT/sid.list"
  cd "$APT/debs"
  { sid update && sid download containerd containernetworking-plugins etcd-server etcd-client; } >>"$LOG" 2>&1 ||
    fail "download from sid failed, see $LOG"
  patiently apt-get download -q busybox
  for deb in *.deb; do dpkg -x "$deb" "$ROOT.new"; done
  [ -e "$ROOT.new/bin/busybox" ] || ln -s ../usr/bin/busybox "$ROOT.new/bin/busybox"
  cd "$DIR"
  rm -rf "$ROOT"
  mv "$ROOT.new" "$ROOT"
  rm -rf "$APT"
  works >/dev/null 2>"$LOG" || fail "a program does not start (is the machine's glibc too old for sid's build?), see $LOG"
}

tools
works >/dev/null 2>&1 || programs
