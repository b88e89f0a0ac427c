#!/usr/bin/env bash
# Says whether buildifier would change a BUILD or .bzl file. Exit code 77: it cannot be had here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if [[ ! -x tools/dev/buildifier.sh ]]; then
  echo "not checked: tools/dev/buildifier.sh is not there to run it" >&2
  exit 77
fi
exec tools/dev/buildifier.sh
