#!/bin/sh
# The revision for image labels. bazelw passes it; plain bazel asks git.
echo "STABLE_OMNIRELAY_REVISION ${OMNIRELAY_REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}"
