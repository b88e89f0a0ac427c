#!/usr/bin/env bash
# `./bazelw run //:up -- ARGUMENT...`: a local mesh out of the programs that were just built.
set -euo pipefail
built=${RUNFILES_DIR:-$0.runfiles}/_main
export OMNIRELAY_RELAYD=$built/relay/server/relayd
export OMNIRELAY_MESHKITD=$built/meshkit/host/meshkitd
export OMNIRELAY_SAMPLES=$built/samples/omnirelay-samples
cd "${BUILD_WORKING_DIRECTORY:-$PWD}"
exec "$built/cli/omnirelay" up "$@"
