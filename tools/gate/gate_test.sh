#!/usr/bin/env bash
# Runs the gate's own tests, under Bazel and by hand alike.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export PYTHONDONTWRITEBYTECODE=1
exec python3 -W error -m unittest discover -s tests -t .
