#!/usr/bin/env bash
# Runs the tests of tools/dist, under Bazel and by hand alike. They build nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1
exec python3 -W error -m unittest discover -s tests -t .
