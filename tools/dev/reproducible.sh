#!/usr/bin/env bash
# Builds every image twice from nothing, with no cache and in different folders, and compares the digests.
# Takes as long as two cold builds.
set -euo pipefail
workspace=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
scratch=$(mktemp -d "${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay/reproducible.XXXXXX")
trap 'cd /; chmod -R u+w "$scratch" 2>/dev/null; rm -rf "$scratch"' EXIT
images=(//cli:image //meshkit:image //relay:image)

digests() {
  local copy=$scratch/$1
  git clone --quiet "$workspace" "$copy"
  cd "$copy"
  ./bazelw build --disk_cache= "${images[@]}" >&2
  for image in "${images[@]}"; do
    image=${image#//}
    printf '%s %s\n' "$image" "$(cat "bazel-bin/${image/://}.sha256")"
  done
  ./bazelw clean --expunge >&2
  ./bazelw shutdown >&2
}

digests first >"$scratch/first.txt"
digests second/deeper >"$scratch/second.txt"
cat "$scratch/first.txt"
diff "$scratch/first.txt" "$scratch/second.txt" && echo "both builds gave the same digests"
