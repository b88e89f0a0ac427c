# Debian's Bazel in a folder of its own: sourced by bazelw.
# shellcheck shell=bash

# The root's folder: named by what defines its content, so that a change of either file makes a new one.
debian_root_path() {
  local key
  key=$(cat "$workspace/tools/dev/debian-packages.txt" "$workspace/tools/dev/debian_root.sh" | sha256sum | cut -c1-12)
  echo "$cache/root-$key"
}

# debian_root_ensure ROOT: makes ROOT unless it is there already.
debian_root_ensure() {
  local root=$1
  if [[ -e $root/.complete ]]; then
    touch -c "$root/.complete" 2>/dev/null || true
    return
  fi
  mkdir -p "$cache"
  exec 8>"$cache/root.lock"
  flock 8
  if [[ ! -e $root/.complete ]]; then
    need_packages "Debian's Bazel" mmdebstrap:mmdebstrap bwrap:bubblewrap
    say "setting up Debian's Bazel in $root (once, one to two minutes)"
    debian_root_build "$root"
    debian_root_prune "$root"
  fi
  exec 8>&-
}

debian_root_build() {
  local root=$1 work mirror packages began=$SECONDS
  work=$(mktemp -d "$cache/root-build.XXXXXX")
  packages=$(grep -v '^#' "$workspace/tools/dev/debian-packages.txt" | paste -sd,)
  mirror=$(apt-get indextargets --format '$(REPO_URI)' "Created-By: Packages" 2>/dev/null | grep -m1 '/debian/' || true)
  # The release file of a testing suite may look expired to a machine whose clock is ahead.
  # Man pages stay: the JDK's set-up fails without their folder.
  if ! as_root mmdebstrap --variant=apt --mode=root --include="$packages" \
    --aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    forky "$work/root" "${mirror:-http://deb.debian.org/debian/}" >"$cache/root-build.log" 2>&1; then
    tail -n 20 "$cache/root-build.log" >&2
    as_root rm -rf "$work"
    die "the Debian root could not be made" "the whole log is $cache/root-build.log; is deb.debian.org reachable?"
  fi
  if ! as_root bash -s "$work/root" >>"$cache/root-build.log" 2>&1 <<'ROOT'
set -euo pipefail
root=$1
# The machine's own authorities, for Java too: needed where a proxy signs TLS anew.
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
bwrap --bind "$root" / --dev /dev --proc /proc update-ca-certificates -f
# The clients that Debian does not package; they come from the machine's Python package index.
pip=()
[[ ! -e /etc/pip.conf ]] || pip=(--ro-bind /etc/pip.conf /etc/pip.conf)
touch "$root/etc/pip.conf" "$root/etc/resolv.conf" "$root/etc/hosts"
bwrap --bind "$root" / --dev /dev --proc /proc --tmpfs /tmp --ro-bind /etc/resolv.conf /etc/resolv.conf \
  --ro-bind /etc/hosts /etc/hosts "${pip[@]}" --setenv HOME /tmp \
  python3 -m pip install --quiet --root-user-action=ignore --no-cache-dir --break-system-packages 'buf-bin>=1.75,<2' 'schemathesis>=4.32,<5'
# Modules that Debian's rules name and Debian does not package; nothing of ours uses them.
stubs=$root/usr/share/bazel/stubs
for module in apple_support protobuf aspect_rules_js buildozer zlib; do
  mkdir -p "$stubs/$module"
  echo "module(name = \"$module\")" >"$stubs/$module/MODULE.bazel"
  : >"$stubs/$module/BUILD.bazel"
done
cat >"$stubs/buildozer/buildozer_binary.bzl" <<'EOB'
_repo = repository_rule(implementation = lambda rctx: rctx.file("BUILD.bazel", ""))
def _impl(_):
    _repo(name = "buildozer_binary")
buildozer_binary = module_extension(implementation = _impl)
EOB
mkdir -p "$root/usr/share/bazel/no-registry"
rm -rf "$root/var/cache/apt/archives" "$root/var/lib/apt/lists"
touch "$root/.complete"
ROOT
  then
    tail -n 20 "$cache/root-build.log" >&2
    as_root rm -rf "$work"
    die "the Debian root could not be completed" "the whole log is $cache/root-build.log; is the Python package index reachable?"
  fi
  as_root mv "$work/root" "$root"
  rmdir "$work"
  say "Debian's Bazel is ready after $((SECONDS - began)) s"
}

# Roots that no checkout has used for a month go.
debian_root_prune() {
  local stamp old
  for stamp in "$cache"/root-*/.complete; do
    old=${stamp%/.complete}
    if [[ $old != "$1" && -n $(find "$stamp" -mtime +30 2>/dev/null) ]]; then
      as_root rm -rf "$old"
    fi
  done
}
