#!/usr/bin/env bash
# What a container of one image holds and who runs in it, as a container engine sees it.
#
#   image_test.sh ARCHIVE PROGRAM
#
# The image's own layout is tested beside its rule (tools/bazel/image); this looks at a container that an engine made.
set -euo pipefail

archive=$1 program=$2
run=smoke-image-$program-$$-$(date +%s%N)
image=localhost/$run/$program:smoke
container=$run
scratch=$(mktemp -d "${TEST_TMPDIR:-/tmp}/image.XXXXXX")
failures=0

finish() {
  local code=$?
  if [[ $code != 0 || $failures != 0 ]]; then
    echo "--- log of $container ---"
    docker logs "$container" 2>&1 || true
    echo "--- end of $container ---"
  fi
  docker rm --force "$container" "$container-shell" >/dev/null 2>&1 || true
  docker rmi --no-prune "$image" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap finish EXIT
trap 'exit 143' TERM

# expect WHAT EXPECTED FOUND
expect() {
  if [[ $2 == "$3" ]]; then
    echo "ok     $1"
  else
    echo "FAILED $1"
    diff --label expected --label found <(echo "$2") <(echo "$3") -u || true
    failures=$((failures + 1))
  fi
}

docker version --format 'engine {{.Server.Version}}' || {
  echo "no container engine answers (DOCKER_HOST is ${DOCKER_HOST:-not set}): ./bazelw test starts one" >&2
  exit 1
}

# The archive's own tag is the same in every checkout, so the image is loaded under one that only this run has.
mkdir "$scratch/unpacked"
tar -xf "$archive" -C "$scratch/unpacked"
python3 - "$scratch/unpacked/manifest.json" "$image" <<'PY'
import json, os, pathlib, sys
path = pathlib.Path(sys.argv[1])
manifest = json.loads(path.read_text())
manifest[0]["RepoTags"] = [sys.argv[2]]
path.unlink()
path.write_text(json.dumps(manifest))
PY
(cd "$scratch/unpacked" && tar -cf ../image.tar ./* --transform 's,^\./,,')
docker load --quiet --input "$scratch/image.tar" >/dev/null

docker create --name "$container" "$image" --version >/dev/null

# Files that the engine itself puts into every container; they are no part of the image.
engine='^(\.dockerenv|dev(/.*)?|etc/(hostname|hosts|mtab|resolv\.conf)|proc|run(/(\.containerenv|secrets))?|sys)$'
docker export "$container" >"$scratch/export.tar"
found=$(tar -tf "$scratch/export.tar" | sed -e 's,^\./,,' -e 's,/$,,' | grep -Ev "$engine" | grep . | sort)
expected=$(sort <<EOF
etc
etc/group
etc/passwd
etc/ssl
etc/ssl/certs
etc/ssl/certs/ca-certificates.crt
usr
usr/local
usr/local/bin
usr/local/bin/$program
var
var/lib
var/lib/omnirelay
EOF
)
expect "the filesystem holds what is listed and nothing else" "$expected" "$found"
expect "nothing is set-uid or set-gid" "" "$(tar -tvf "$scratch/export.tar" | grep -E '^-..[sS]|^-.....[sS]' || true)"
writable=$(tar -tvf "$scratch/export.tar" --numeric-owner | awk '$2 != "0/0" { print $1, $2, $NF }' | sed 's,/$,,')
expect "only the state folder is the user's" "drwx------ 65532/65532 var/lib/omnirelay" "$writable"

tar -xOf "$scratch/export.tar" etc/ssl/certs/ca-certificates.crt >"$scratch/authorities.pem"
expect "it trusts public authorities" yes "$(grep -q 'BEGIN CERTIFICATE' "$scratch/authorities.pem" && echo yes)"

look() { docker inspect --format "$1" "$container"; }
expect "the user is not root" "65532:65532" "$(look '{{.Config.User}}')"
expect "the program is the entry point" "[/usr/local/bin/$program]" "$(look '{{.Config.Entrypoint}}')"
for label in title description version revision source licenses; do
  value=$(look "{{index .Config.Labels \"org.opencontainers.image.$label\"}}")
  expect "the label $label is set" yes "$([[ -n $value && $value != "<no value>" ]] && echo yes)"
done
expect "the title is the program's name" "$program" \
  "$(look '{{index .Config.Labels "org.opencontainers.image.title"}}')"

# Where there is no library, only a static program starts.
docker start "$container" >/dev/null
expect "--version ends with 0" 0 "$(docker wait "$container")"
version=$(look '{{index .Config.Labels "org.opencontainers.image.version"}}')
expect "--version and the label agree" "$program $version" "$(docker logs "$container" 2>&1 | awk '{ print $1, $2 }')"

# A shell would have been listed above; this asks the engine as an intruder would.
shell=no
docker create --name "$container-shell" --entrypoint /bin/sh "$image" -c true >/dev/null
docker start "$container-shell" >/dev/null 2>&1 && [[ $(docker wait "$container-shell") == 0 ]] && shell=yes
expect "there is no shell" no "$shell"

[[ $failures == 0 ]]
