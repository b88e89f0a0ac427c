#!/usr/bin/env bash
# Runs the rules on the working tree and, first, the rules' own tests.
#
#   tools/tidy/tidy_test.sh [OMNIRELAY]     with the CLI, the commands quoted in the docs are asked of it
set -euo pipefail
omnirelay=${1:+$(realpath "$1")}
# The link of this script leads to the workspace: see __main__.py.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
export PYTHONDONTWRITEBYTECODE=1
(cd "$here" && python3 -W error -m unittest discover -s tests -t .)
exec python3 "$here" ${omnirelay:+--omnirelay "$omnirelay"}
