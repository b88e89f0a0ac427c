#!/bin/sh
# Installs OmniRelay, upgrades it, goes back to the version before. docs/operations/install.md tells more.
#
#   install.sh [--version V] [--prefix DIR] [--key FILE] [--base-url URL]
#   install.sh --rollback [--prefix DIR]
#
# --version V      a version, as 1.2.3 (default: the latest release)
# --prefix DIR     where to install (default: ~/.local); programs are in DIR/bin
# --key FILE       the public key of the releases: the signature of the sums is then verified, by cosign or openssl
# --base-url URL   where the files of a release are (default: the project's releases on GitHub)
# --rollback       makes the version that was installed before the current one again
#
# Every version lies in DIR/lib/omnirelay/VERSION; `current` is a link to one of them, so that an upgrade is one rename.
# A running daemon goes on with the version it was started with.
set -eu

releases=https://github.com/omnirelay/omnirelay/releases

say() { printf 'install: %s\n' "$1" >&2; }

# die CAUSE HINT
die() {
  printf 'install: error: %s\n  hint: %s\n' "$1" "$2" >&2
  exit 1
}

main() {
  version='' prefix=${HOME:?}/.local key='' base='' rollback=''
  while [ $# -gt 0 ]; do
    case $1 in
      --version | --prefix | --key | --base-url)
        [ $# -ge 2 ] || die "$1 needs a value" "the head of this script lists the options"
        case $1 in
          --version) version=${2#v} ;;
          --prefix) prefix=$2 ;;
          --key) key=$2 ;;
          --base-url) base=$2 ;;
        esac
        shift 2 ;;
      --rollback) rollback=1 && shift ;;
      --help | -h) help && exit 0 ;;
      *) die "unknown option $1" "the head of this script lists the options" ;;
    esac
  done
  [ -z "$key" ] || [ -r "$key" ] || die "the key $key cannot be read" "give the file of the public key"
  home=$prefix/lib/omnirelay
  if [ -n "$rollback" ]; then
    roll_back
  else
    install_version
  fi
}

help() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; }

install_version() {
  if [ -z "$base" ]; then
    base=$releases/latest/download
    [ -z "$version" ] || base=$releases/download/v$version
  fi
  platform=$(platform_name)
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  fetch SHA256SUMS
  verify_sums
  archive=$(sed -n "s/^[0-9a-f]\{64\}  \(omnirelay-.*-$platform\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS" | head -n 1)
  [ -n "$archive" ] || die "$base has nothing for $platform" "the page of the release lists the platforms that it has"
  found=${archive#omnirelay-} && found=${found%-"$platform".tar.gz}
  [ -z "$version" ] || [ "$version" = "$found" ] || die "$base has version $found, not $version" "leave out --version, or --base-url"
  say "fetching $archive"
  fetch "$archive"
  check_sum "$archive"
  unpack "$archive" "$found"
  switch "$found"
  say "$("$prefix/bin/omnirelay" --version) is installed in $prefix/bin"
  case :$PATH: in *":$prefix/bin:"*) ;; *) say "add $prefix/bin to your PATH" ;; esac
}

platform_name() {
  case $(uname -s) in
    Linux) system=linux ;;
    Darwin) system=macos ;;
    *) die "$(uname -s) is not a system that this script knows" "on Windows, unpack the .zip of the release" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) echo "$system-x64" ;;
    aarch64 | arm64) echo "$system-arm64" ;;
    *) die "there are no programs for $(uname -m)" "build them from source: docs/operations/dist.md" ;;
  esac
}

# fetch NAME: a file of the release, into $work
fetch() {
  if command -v curl >/dev/null; then
    curl --fail --silent --show-error --location --retry 3 --output "$work/$1" "$base/$1"
  elif command -v wget >/dev/null; then
    wget --quiet --output-document "$work/$1" "$base/$1"
  else
    die "neither curl nor wget is there" "install one of them"
  fi || die "$base/$1 cannot be fetched" "check the version, the network and its proxy"
}

verify_sums() {
  if [ -z "$key" ]; then
    say "the sums are checked, their signature is not: give the public key with --key"
    return
  fi
  fetch SHA256SUMS.sig
  if command -v cosign >/dev/null; then
    cosign verify-blob --insecure-ignore-tlog=true --key "$key" --signature "$work/SHA256SUMS.sig" "$work/SHA256SUMS" >/dev/null 2>&1
  elif command -v openssl >/dev/null; then
    openssl base64 -d -A -in "$work/SHA256SUMS.sig" -out "$work/signature"
    openssl dgst -sha256 -verify "$key" -signature "$work/signature" "$work/SHA256SUMS" >/dev/null 2>&1
  else
    die "neither cosign nor openssl is there to verify the signature" "install one of them, or leave out --key"
  fi || die "the signature of SHA256SUMS does not hold for $key" "do not use these files; fetch the key anew from where you trust it"
  say "the signature of the sums holds"
}

check_sum() {
  wanted=$(grep "  $1\$" "$work/SHA256SUMS" | cut -d' ' -f1)
  if command -v sha256sum >/dev/null; then
    is=$(sha256sum "$work/$1" | cut -d' ' -f1)
  else
    is=$(shasum -a 256 "$work/$1" | cut -d' ' -f1)
  fi
  [ "$is" = "$wanted" ] || die "$1 is not what the release says: its SHA-256 is $is" "fetch it again; if it stays so, tell the project"
}

# unpack ARCHIVE VERSION: beside the other versions, under its name only once it is whole and runs
unpack() {
  mkdir -p "$home"
  rm -rf "$home/$2.partial"
  mkdir "$home/$2.partial"
  tar -xzf "$work/$1" -C "$home/$2.partial" --strip-components=1
  "$home/$2.partial/omnirelay" --version >/dev/null || {
    rm -rf "$home/$2.partial"
    die "the program of version $2 does not run on this machine" "nothing was changed; the message above says why"
  }
  rm -rf "${home:?}/$2"
  mv "$home/$2.partial" "$home/$2"
}

# switch VERSION: makes it the current one, and the current one the previous
switch() {
  now=$(readlink "$home/current" 2>/dev/null || true)
  if [ -n "$now" ] && [ "$now" != "$1" ]; then
    point "$now" previous
  fi
  point "$1" current
  mkdir -p "$prefix/bin" "$prefix/share/man/man1" "$prefix/share/man/man8" "$prefix/share/bash-completion/completions"
  for program in omnirelay relayd meshkitd; do
    [ ! -e "$home/current/$program" ] || ln -sf "../lib/omnirelay/current/$program" "$prefix/bin/$program"
  done
  for page in "$home/current/man/"*; do
    [ ! -e "$page" ] || ln -sf "../../../lib/omnirelay/current/man/${page##*/}" "$prefix/share/man/man${page##*.}/"
  done
  ln -sf ../../../lib/omnirelay/current/completions/omnirelay.bash "$prefix/share/bash-completion/completions/omnirelay"
}

# point VERSION NAME: the link NAME leads to VERSION, with no moment in which it leads nowhere
point() {
  ln -s "$1" "$home/$2.$$"
  mv -T "$home/$2.$$" "$home/$2" 2>/dev/null || {
    # BSD's mv has -h for the same.
    mv -fh "$home/$2.$$" "$home/$2"
  }
}

roll_back() {
  before=$(readlink "$home/previous" 2>/dev/null || true)
  [ -n "$before" ] && [ -d "$home/$before" ] || die "there is no version before this one in $home" "install one with --version"
  switch "$before"
  say "$("$prefix/bin/omnirelay" --version) is current again"
}

main "$@"
