# The container engine that the suites reach through DOCKER_HOST: sourced by bazelw.
#
# A Docker or podman service that answers is used as it is. Otherwise podman is installed and its Docker-compatible
# service runs from the first `bazelw test` to the end of the last one, with all of its state in the cache folder.
# shellcheck shell=bash

engine_flags=()

engine_ensure() {
  [[ ${OMNIRELAY_ENGINE:-} != none ]] || return 0
  if [[ -n ${DOCKER_HOST:-} ]]; then
    engine_flags+=("--test_env=DOCKER_HOST=$DOCKER_HOST")
    return
  fi
  local socket
  for socket in /run/docker.sock /run/podman/podman.sock "${XDG_RUNTIME_DIR:-/nonexistent}/podman/podman.sock"; do
    if engine_answers "$socket"; then
      engine_flags+=("--test_env=DOCKER_HOST=unix://$socket")
      return
    fi
  done
  engine_start
}

engine_answers() {
  [[ -S $1 ]] && curl -s --max-time 3 --unix-socket "$1" http://engine/_ping 2>/dev/null | grep -q OK
}

# engine_binds NAME: puts into the array NAME what makes the sockets visible in the Debian root. Always all of them:
# the server keeps the view of the call that started it.
engine_binds() {
  local -n binds=$1
  mkdir -p "$cache/engine/run"
  binds=(--bind "$cache/engine/run" /run/omnirelay
    --bind-try /run/docker.sock /run/docker.sock --bind-try /run/podman /run/podman)
  [[ -z ${XDG_RUNTIME_DIR:-} ]] || binds+=(--bind-try "$XDG_RUNTIME_DIR/podman" "$XDG_RUNTIME_DIR/podman")
  [[ ${DOCKER_HOST:-} != unix://* ]] || binds+=(--bind-try "${DOCKER_HOST#unix://}" "${DOCKER_HOST#unix://}")
}

engine_start() {
  local state=$cache/engine socket
  # Inside the root the socket's path is the same on every machine, so that test results can be shared.
  if [[ $mode == debian ]]; then
    engine_flags+=("--test_env=DOCKER_HOST=unix:///run/omnirelay/engine.sock")
  else
    engine_flags+=("--test_env=DOCKER_HOST=unix://$state/run/engine.sock")
  fi
  socket=$state/run/engine.sock
  mkdir -p "$state/run"
  # One call at a time starts or stops the service. Every call that uses it holds a shared lock; whoever can have that
  # alone at the end stops the service.
  exec 6>"$state/mutex"
  flock 6
  if ! engine_answers "$socket"; then
    need_packages "the container engine" podman:podman runc:runc iptables:iptables curl:curl \
      /usr/lib/podman/netavark:netavark /usr/lib/podman/aardvark-dns:aardvark-dns
    engine_spawn "$state" "$socket"
  fi
  exec 7>"$state/users"
  flock --shared 7
  exec 6>&-
  engine_started=1
}

engine_spawn() {
  local state=$1 socket=$2 attempt
  rm -f "$socket"
  # The locks' descriptors stay out of the service: its own life must not count as use.
  CONTAINERS_CONF="$workspace/tools/dev/containers.conf" setsid podman --root "$state/storage" --runroot "$state/runroot" \
    system service --time=0 "unix://$socket" >"$state/service.log" 2>&1 6>&- &
  echo $! >"$state/pid"
  for attempt in {1..100}; do
    engine_answers "$socket" && return
    kill -0 "$(cat "$state/pid")" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 5 "$state/service.log" >&2
  say "warning: no container engine: suites that need one will fail (log: $state/service.log)"
}

engine_release() {
  [[ -n ${engine_started:-} ]] || return 0
  local state=$cache/engine
  exec 6>"$state/mutex"
  flock 6
  if flock --nonblock --exclusive 7 && [[ -s $state/pid ]]; then
    kill "$(cat "$state/pid")" 2>/dev/null || true
    rm -f "$state/pid" "$state/run/engine.sock"
  fi
  exec 7>&- 6>&-
}
