#!/usr/bin/env bash
# Checks the format of BUILD and .bzl files and buildifier's warnings, all of its default ones. Exit code: 0 clean, 1 with
# differences or warnings, 77 where buildifier is not to be had.
# `tools/dev/buildifier.sh --fix` rewrites the files; it fails with whatever warnings only a person can mend.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay
version=8.2.1
checksum=b96ea9b13003036c801f52bee6f9b0314738f8432e5cb9d814c89f59292604ee
tool=$(command -v buildifier || true)
if [[ -z $tool ]]; then
  # Prebuilt programs are in the npm package; npm itself is not needed to unpack it.
  tool=$cache/tools/buildifier-$version
  case $(uname -sm) in
    "Linux x86_64") platform=linux_amd64 ;;
    "Linux aarch64") platform=linux_arm64 ;;
    "Darwin arm64") platform=darwin_arm64 ;;
    *) platform=none ;;
  esac
  if [[ ! -x $tool ]]; then
    mkdir -p "$cache/tools"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    if ! curl -fsSL --max-time 120 "https://registry.npmjs.org/@bazel/buildifier/-/buildifier-$version.tgz" -o "$scratch/package.tgz" 2>/dev/null ||
      ! echo "$checksum  $scratch/package.tgz" | sha256sum --check --quiet ||
      ! tar -xzf "$scratch/package.tgz" -C "$scratch" ||
      [[ ! -f $scratch/package/buildifier-$platform ]]; then
      echo "buildifier is not on the PATH and its npm package has none for this machine: not checked" >&2
      exit 77
    fi
    install -m 755 "$scratch/package/buildifier-$platform" "$tool"
  fi
fi
# third_party/crates is rendered.
each_file() { git ls-files -z '*.bazel' '*.bzl' ':!third_party/crates' | xargs -0 "$tool" "$@"; }
[[ ${1:-} != --fix ]] || each_file -mode=fix -lint=fix || true
each_file -mode=diff -lint=warn || exit 1
