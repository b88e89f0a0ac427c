#!/usr/bin/env bash
# Says whether rustfmt would change a line. Exit code 77: rustfmt is not on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
if ! cargo fmt --version >/dev/null 2>&1; then
  echo "not checked: this machine's Rust has no rustfmt" >&2
  exit 77
fi
exec cargo fmt --all --check
