#!/usr/bin/env bash
# Checks third-party crates against deny.toml with cargo-deny.
#
#   tools/gate/deny.sh policy       licences, sources, duplicate versions
#   tools/gate/deny.sh advisories   the RustSec advisory database, yanked crates
#
# Exit code 0: fine; 77: not checked (the advisory database cannot be reached), which the
# gate shows as such and never as passed; anything else: refused.
set -euo pipefail

# Built once per machine when it has no cargo-deny of its own.
version=0.20.2
tools="${XDG_CACHE_HOME:-$HOME/.cache}/omnirelay/tools/cargo-deny-$version"

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

find_or_install() {
  if command -v cargo-deny >/dev/null; then
    command -v cargo-deny
    return
  fi
  if [[ ! -x "$tools/bin/cargo-deny" ]]; then
    echo "building cargo-deny $version once into $tools (a few minutes)" >&2
    # Unoptimised: it checks a few hundred crates in a second either way and builds far faster.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR="$tools/target" \
      cargo install --quiet --debug --locked --root "$tools" "cargo-deny@$version" >&2
    rm -rf "$tools/target"
  fi
  echo "$tools/bin/cargo-deny"
}

deny="$(find_or_install)"

case "${1:-}" in
policy)
  exec "$deny" --log-level warn check --deny warnings --hide-inclusion-graph bans licenses sources
  ;;
advisories)
  out="$(mktemp)"
  trap 'rm -f "$out"' EXIT
  export GIT_TERMINAL_PROMPT=0
  unreachable='failed to (fetch|open|load|clone) advisory database|unable to load advisory database'
  code=0
  "$deny" --log-level warn check --deny warnings advisories >"$out" 2>&1 </dev/null || code=$?
  if ((code != 0)) && grep -Eq "$unreachable" "$out"; then
    if ! compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*/.git" >/dev/null; then
      grep -E "$unreachable" "$out" | head -n 1 >&2
      echo "not checked: advisory database unreachable" >&2
      exit 77
    fi
    echo "the advisory database could not be refreshed; checking against the copy fetched earlier" >&2
    code=0
    "$deny" --log-level warn --offline check --deny warnings advisories >"$out" 2>&1 </dev/null || code=$?
  fi
  cat "$out" >&2
  exit "$code"
  ;;
*)
  echo "usage: tools/gate/deny.sh policy|advisories" >&2
  exit 2
  ;;
esac
