#!/usr/bin/env bash
# `./bazelw run //:up -- ARGUMENT...`: a local mesh out of the programs that were just built.
set -euo pipefail
built=${RUNFILES_DIR:-$0.runfiles}/_main
export OMNIRELAY_RELAYD=$built/relay/server/relayd
export OMNIRELAY_MESHKITD=$built/meshkit/host/meshkitd
export OMNIRELAY_SAMPLES=$built/samples/omnirelay-samples
cd "${BUILD_WORKING_DIRECTORY:-$PWD}"
# What `up` tells people to type names the program as it was called: by the short path, where that is the same program.
own=$built/cli/omnirelay
short=${BUILD_WORKSPACE_DIRECTORY:-}/bazel-bin/cli/omnirelay
if [[ $short -ef $own ]]; then own=$short; fi
exec "$own" up "$@"
