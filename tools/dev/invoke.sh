# How bazel is called: sourced by bazelw.
# shellcheck shell=bash

main() {
  local startup=() command="" rest=() argument
  for argument in "$@"; do
    if [[ -z $command && $argument == -* ]]; then
      startup+=("$argument")
    elif [[ -z $command ]]; then
      command=$argument
    else
      rest+=("$argument")
    fi
  done
  mkdir -p "$cache"
  export OMNIRELAY_REVISION
  OMNIRELAY_REVISION=$(revision)
  choose_bazel

  local flags=()
  case $command in
    "" | help | version | shutdown | license) ;;
    *)
      [[ $mode == debian ]] && flags+=(--config=debian --repo_env=LOCAL_RUST_SYSROOT="$rust_sysroot")
      flags+=(--disk_cache="$cache/disk" --repository_cache="$cache/repositories")
      remote_cache_flags
      ;;
  esac

  case $command in
    run) run_on_host ;;
    test | coverage) test_with_engine ;;
    *) enter "${startup[@]}" ${command:+"$command"} "${flags[@]}" "${rest[@]}" ;;
  esac
}

# The commit an image's label names; "-dirty" when the tree differs from it.
revision() {
  local commit
  commit=$(git -C "$workspace" rev-parse HEAD 2>/dev/null) || { echo unknown; return; }
  [[ -z $(git -C "$workspace" status --porcelain 2>/dev/null | head -n1) ]] || commit+=-dirty
  echo "$commit"
}

# Sets mode (registry or debian) and what that mode needs.
choose_bazel() {
  mode=${OMNIRELAY_BAZEL_MODE:-}
  local tool
  for tool in bazelisk bazel; do
    bazel=$(command -v "$tool") && break
  done
  if [[ -z $mode ]]; then
    mode=debian
    if [[ -n $bazel ]] && registry_answers; then mode=registry; fi
  fi
  case $mode in
    registry) [[ -n $bazel ]] || die "no bazel and no bazelisk on this machine" "leave OMNIRELAY_BAZEL_MODE unset" ;;
    debian)
      root=$(debian_root_path)
      debian_root_ensure "$root"
      find_rust
      ;;
    *) die "OMNIRELAY_BAZEL_MODE is \"$mode\"" "use registry or debian, or leave it unset" ;;
  esac
}

registry_answers() {
  python3 - <<'PY'
import sys, urllib.request
try:
    urllib.request.urlopen("https://bcr.bazel.build/bazel_registry.json", timeout=3).read(1)
except Exception:
    sys.exit(1)
PY
}

# The installed Rust; outside the workspace when rust-toolchain.toml names a toolchain under another name than the
# machine has it.
find_rust() {
  command -v rustc >/dev/null || die "no rustc on this machine" "install Rust: https://rustup.rs"
  rust_sysroot=$(cd "$workspace" && rustc --print sysroot 2>/dev/null) ||
    rust_sysroot=$(cd / && rustc --print sysroot) ||
    die "rustc does not answer" "try: rustc --print sysroot"
  rust_sysroot=$(realpath "$rust_sysroot")
  local found wanted
  found=$("$rust_sysroot/bin/rustc" --version | cut -d' ' -f2)
  wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$workspace/Cargo.toml")
  [[ $(printf '%s\n' "$wanted" "$found" | sort -V | head -n1) == "$wanted" ]] ||
    die "Rust $found is too old: Cargo.toml asks for $wanted" "rustup update"
}

# A remote cache, when the environment names one: BUILDBUDDY_ENDPOINT (grpcs://…) and BUILDBUDDY_API_KEY. Only builds
# of main write to it; CI says so by OMNIRELAY_CACHE_WRITE=1.
remote_cache_flags() {
  [[ -n ${BUILDBUDDY_ENDPOINT:-} ]] || return 0
  if ! remote_cache_answers; then
    say "warning: the remote cache $BUILDBUDDY_ENDPOINT does not answer: building without it"
    return 0
  fi
  # The report is sent while the build goes on, and a service that is away fails nothing.
  flags+=(--remote_cache="$BUILDBUDDY_ENDPOINT" --bes_backend="$BUILDBUDDY_ENDPOINT"
    --bes_upload_mode=nowait_for_upload_complete)
  if [[ -n ${BUILDBUDDY_API_KEY:-} ]]; then
    # In a file of the user's alone: everybody on a machine can read the arguments of a process.
    local secret=$cache/run/remote-cache.bazelrc
    mkdir -p "$cache/run"
    (umask 077 && printf 'build --%s_header=x-buildbuddy-api-key=%s\n' remote "$BUILDBUDDY_API_KEY" bes "$BUILDBUDDY_API_KEY" >"$secret")
    startup+=(--bazelrc="$secret")
  fi
  [[ ${OMNIRELAY_CACHE_WRITE:-0} == 1 ]] || flags+=(--noremote_upload_local_results)
}

# Whether the cache takes a connection within 3 s; else Bazel would complain of every single file. One that goes away
# later is no failure either, by ci.bazelrc.
remote_cache_answers() {
  local address=${BUILDBUDDY_ENDPOINT#*://} port=443
  case $BUILDBUDDY_ENDPOINT in
    grpcs://* | https://*) ;;
    grpc://* | http://*) port=80 ;;
    *) return 0 ;; # a socket file, or what only Bazel understands
  esac
  address=${address%%/*}
  if [[ $address =~ ^(.*):([0-9]+)$ ]]; then
    address=${BASH_REMATCH[1]} port=${BASH_REMATCH[2]}
  fi
  address=${address#[} address=${address%]}
  timeout 3 bash -c 'exec 3<>"/dev/tcp/$1/$2"' - "$address" "$port" 2>/dev/null
}

# enter ARGUMENT...: runs bazel with these arguments; in the debian mode inside the root, where the workspace, the
# cache folder and the Rust toolchain lie at the same paths as outside, so that bazel-bin works for the host.
enter() {
  local line=()
  enter_line line "$@"
  exec "${line[@]}"
}

# enter_line NAME ARGUMENT...: puts the command line that runs bazel into the array NAME.
enter_line() {
  local -n into=$1
  shift
  if [[ $mode == registry ]]; then
    into=("$bazel" "$@")
    return
  fi
  local inside=$PWD
  [[ $PWD == "$workspace" || $PWD == "$workspace"/* ]] || inside=$workspace
  local sockets=()
  engine_binds sockets
  # The root is read-only, with a scratch folder above it. No pid namespace: bazel's server outlives this call, which
  # makes the next one quick; --die-with-parent ends only the client.
  into=(bwrap --die-with-parent --tmpfs / --dev-bind /dev /dev --bind /proc /proc --ro-bind /sys /sys
    --ro-bind "$root/usr" /usr --ro-bind "$root/etc" /etc --ro-bind "$root/var" /var
    --symlink usr/bin /bin --symlink usr/sbin /sbin --symlink usr/lib /lib --symlink usr/lib64 /lib64
    --dir /tmp --dir /run --tmpfs /etc/bazel
    --ro-bind /etc/resolv.conf /etc/resolv.conf --ro-bind /etc/hosts /etc/hosts "${sockets[@]}"
    --ro-bind "$rust_sysroot" "$rust_sysroot" --bind "$cache" "$cache" --bind "$workspace" "$workspace"
    --chdir "$inside" --setenv PATH /usr/sbin:/usr/bin:/sbin:/bin --setenv TMPDIR /tmp
    # Debian's own rc file (/etc/bazel) prints pages for every action: .bazelrc has what is needed of it.
    bazel --nosystem_rc --install_base=/usr/share/bazel --trust_install_base
    --output_user_root="$cache/bazel-${root##*-}" --max_idle_secs=900 "$@")
}

# `run` builds inside and starts the program outside: its Ctrl-C, HOME and ports are the caller's.
run_on_host() {
  local before=() after=() argument seen=0 script line=()
  for argument in "${rest[@]}"; do
    if [[ $seen == 0 && $argument == -- ]]; then
      seen=1
    elif [[ $seen == 0 ]]; then
      before+=("$argument")
    else
      after+=("$argument")
    fi
  done
  mkdir -p "$cache/run"
  script=$cache/run/$(printf '%s\0' "$workspace" "${before[@]}" | sha256sum | cut -c1-16).sh
  enter_line line "${startup[@]}" run "${flags[@]}" --script_path="$script" "${before[@]}"
  "${line[@]}" || exit $?
  [[ $mode == registry ]] || offer_root_tools
  exec "$script" "${after[@]}"
}

# Programs of the root which `run` targets call: found after the machine's own.
offer_root_tools() {
  local tool=skopeo
  mkdir -p "$cache/bin"
  cat >"$cache/bin/$tool.$$" <<WRAPPER
#!/bin/sh
exec bwrap --dev-bind / / --ro-bind "$root/usr" /usr --ro-bind "$root/etc/ssl" /etc/ssl $tool "\$@"
WRAPPER
  chmod +x "$cache/bin/$tool.$$"
  mv "$cache/bin/$tool.$$" "$cache/bin/$tool"
  export PATH=$PATH:$cache/bin
}

# What the tests call, where it is not in Debian's root: set up once per state of tools/dev/setup.sh.
offer_test_tools() {
  local stamp
  stamp=$cache/setup-$(sha256sum "$workspace/tools/dev/setup.sh" | cut -c1-12)
  if [[ ! -e $stamp ]]; then
    "$workspace/tools/dev/setup.sh" && touch "$stamp" || say "warning: tests may miss tools: see tools/dev/setup.sh"
  fi
  [[ ! -x $cache/python/bin/python3 ]] || flags+=(--test_env="PATH=$cache/python/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
}

# terminate PID: asks bazel to end; in the debian mode PID is bubblewrap, and its child is bazel.
terminate() {
  local children=""
  [[ $mode == registry ]] || children=$(cat "/proc/$1/task/$1/children" 2>/dev/null)
  # shellcheck disable=SC2086  # one word per process
  kill -TERM ${children:-$1} 2>/dev/null
}

# `test` runs with a container engine at hand, which suites reach through DOCKER_HOST.
test_with_engine() {
  local line=() bazel_pid code=0
  [[ $mode == debian ]] || offer_test_tools
  engine_ensure
  flags+=("${engine_flags[@]}")
  enter_line line "${startup[@]}" "$command" "${flags[@]}" "${rest[@]}"
  # A child and not exec: the engine is put away afterwards. Ctrl-C reaches bazel by itself, being of this process
  # group; other signals are passed on. The engine's lock is closed: bazel's server would keep it.
  "${line[@]}" <&0 7>&- &
  bazel_pid=$!
  trap : INT
  trap 'terminate "$bazel_pid"' TERM HUP
  while :; do
    code=0
    wait "$bazel_pid" || code=$?
    kill -0 "$bazel_pid" 2>/dev/null || break
  done
  engine_release
  exit "$code"
}
