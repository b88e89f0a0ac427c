#!/usr/bin/env bash
# Installs what the tests call where ./bazelw uses the machine's own bazel (Debian's root has all of it already):
# independent HTTP/3 and gRPC clients, etcd, a registry, an image tool, a container engine. `./bazelw test` runs it once there.
set -euo pipefail
workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay
mkdir -p "$cache"
source "$workspace/tools/dev/common.sh"

need_packages "the tests" curl:curl etcd:etcd-server etcdctl:etcd-client h2load:nghttp2-client docker-registry:docker-registry file:file openssl:openssl kill:procps skopeo:skopeo \
  podman:podman runc:runc iptables:iptables /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns
if ! python3 -c 'import aioquic, grpc, schemathesis' 2>/dev/null || ! command -v buf >/dev/null; then
  say "installing aioquic, grpcio, schemathesis and buf into $cache/python"
  [[ -x $cache/python/bin/python3 ]] || python3 -m venv "$cache/python" ||
    die "python3 cannot make a virtual environment" "apt-get install python3-venv"
  "$cache/python/bin/pip" install --quiet 'aioquic>=1.2,<2' 'grpcio>=1.60,<2' 'protobuf>=4,<8' 'schemathesis>=4.32,<5' 'buf-bin>=1.75,<2'
  say "bazelw puts $cache/python/bin first on the tests' PATH"
fi
