# What the set-up scripts share: messages and package installation. Sourced.
# shellcheck shell=bash

say() { printf 'bazelw: %s\n' "$1" >&2; }

# die CAUSE HINT
die() {
  printf 'bazelw: error: %s\n  hint: %s\n' "$1" "$2" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "root is needed for: $1" "run as root once, or install sudo"
  fi
}

# need_packages PURPOSE COMMAND:PACKAGE...: installs the packages whose command is not there; a COMMAND with a slash
# is a file's path.
need_packages() {
  local purpose=$1 pair missing=()
  shift
  for pair in "$@"; do
    [[ -e ${pair%%:*} || -n $(PATH="$PATH:/usr/sbin:/sbin" type -P "${pair%%:*}") ]] || missing+=("${pair##*:}")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  command -v apt-get >/dev/null ||
    die "$purpose needs: ${missing[*]}" "this is no Debian machine: install them with its package manager"
  say "installing for $purpose: ${missing[*]}"
  # The package lists of a new machine may be missing or old.
  apt_install "${missing[@]}" || { as_root apt-get update -qq && apt_install "${missing[@]}"; } || {
    tail -n 15 "$cache/apt.log" >&2
    die "apt-get could not install: ${missing[*]}" "the whole log is $cache/apt.log"
  }
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >"$cache/apt.log" 2>&1
}
