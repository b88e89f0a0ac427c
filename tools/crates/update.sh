#!/usr/bin/env bash
# Renders third_party/crates anew from Cargo.lock. Run it after every change of Cargo.lock and commit the result;
# nobody who only builds needs it. Installs cargo-bazel into the cache folder when it is missing (a few minutes, once).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=0.18.0
tool=${CARGO_BAZEL:-${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay/cargo-bazel-$version/bin/cargo-bazel}
if [[ ! -x $tool ]]; then
  echo "installing cargo-bazel $version" >&2
  cargo install cargo-bazel --version "$version" --locked --root "${tool%/bin/*}"
fi
sysroot=$(rustc --print sysroot)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# cargo-bazel asks `bazel info` for four lines and nothing else.
cat >"$scratch/bazel" <<'EOB'
#!/bin/sh
echo "release: release 7.7.1"
echo "output_base: /nonexistent"
echo "execution_root: /nonexistent/execroot/_main"
echo "workspace: $PWD"
EOB
chmod +x "$scratch/bazel"
cargo fetch --locked --quiet
"$tool" vendor --bazel "$scratch/bazel" --cargo "$sysroot/bin/cargo" --rustc "$sysroot/bin/rustc" \
  --config tools/crates/config.json --splicing-manifest tools/crates/splicing.json \
  --cargo-lockfile Cargo.lock --workspace-dir "$PWD" --nonhermetic-root-bazel-workspace-dir "$PWD"
python3 tools/crates/postprocess.py third_party/crates
