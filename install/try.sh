#!/usr/bin/env bash
# Builds keyfob and shows its main job: one sign-in answers git, AWS and docker.
#
#   ./install/try.sh             a test browser signs in by itself
#   ./install/try.sh --browser   your own browser opens, and you sign in
#
# Everything happens in a temporary folder that is removed at the end, against servers on this machine that end with the
# script. Nothing of yours is read or written, but cargo builds into target/ and keeps what it downloads in its own cache.
set -euo pipefail
exec </dev/null

fail() { echo "try.sh: $*" >&2 && exit 1; }
[ $# = 0 ] || [ "$*" = --browser ] || fail "usage: install/try.sh [--browser]"
for tool in cargo git cc; do
  command -v "$tool" >/dev/null || fail "$tool is missing: keyfob is built with Rust and a C compiler, and this shows it to git"
done
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d) && work=$(cd "$work" && pwd -P)
home=$work/home servers=() left_out=()
# The servers end when the descriptor that only this script holds does; what keyfob left waiting for a browser is found by its home.
finish() {
  exec 9>&-
  for id in $(grep -laF "HOME=$home" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n'); do
    [ "$id" = $$ ] || kill "$id" 2>/dev/null || true
  done
  for _ in $(seq 50); do kill -0 ${servers[@]+"${servers[@]}"} 2>/dev/null && sleep 0.1 || break; done
  kill -KILL ${servers[@]+"${servers[@]}"} 2>/dev/null || true
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
mkfifo "$work/open"
exec 9<>"$work/open"

echo "Building keyfob and the test servers (the first time, this takes some minutes) ..."
cargo build --release --locked --quiet
cargo build --locked --quiet --examples
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

say() { printf '\n%s\n' "$*"; }
# Runs a command in the temporary home, with nothing of this environment; 9 is closed so that nothing keeps the servers alive.
inside() { (cd "$home" && exec env -i "${environment[@]}" "$@" 9>&-); }
# Shows a command and what it says; ends the script where it fails.
show() {
  printf '  $'
  for word in "$@"; do case $word in '' | *[!A-Za-z0-9_.,:/=@-]*) printf " '%s'" "$word" ;; *) printf ' %s' "$word" ;; esac done
  echo
  inside "$@" >"$work/said" 2>&1 || { sed 's/^/    /' "$work/said" && fail "this should have worked: $*"; }
  # keys of the throw-away token service, but nobody should get used to seeing such things
  sed -E 's/("(SecretAccessKey|SessionToken)": *")[^"]*/\1.../g; s/^/    /' "$work/said"
}
# Starts a test server; leaves what it says after READY in $ready.
serve() {
  env -i "PATH=$PATH" "HOME=$work" "TMPDIR=$work" "$target/debug/examples/$@" <"$work/open" >"$work/$1.said" 2>"$work/$1.log" 9>&- &
  servers+=($!)
  for _ in $(seq 300); do
    ready=$(sed -n 's/^READY //p' "$work/$1.said")
    [ -z "$ready" ] || return 0
    sleep 0.1
  done
  cat "$work/$1.log" >&2 && fail "the test server $1 did not start"
}

mkdir -p "$work/bin" "$home"/{.config/keyfob,.aws,.docker,run}
for name in keyfob git-credential-keyfob docker-credential-keyfob; do ln -s "$target/release/keyfob" "$work/bin/$name"; done
environment=("HOME=$home" "PATH=$work/bin:$PATH" "LC_ALL=C.UTF-8" "GIT_CONFIG_NOSYSTEM=1" "GIT_CONFIG_GLOBAL=$home/.gitconfig"
  "XDG_CONFIG_HOME=$home/.config" "XDG_STATE_HOME=$home/.local/state" "XDG_RUNTIME_DIR=$home/run" "DOCKER_CONFIG=$home/.docker"
  "REGISTRY_AUTH_FILE=$home/.docker/config.json" "AWS_CONFIG_FILE=$home/.aws/config" "KEYFOB_KEY_FILE=$home/.config/keyfob/key"
  "KEYFOB_BROWSER=try-browser" ${PYENV_ROOT:+"PYENV_ROOT=$PYENV_ROOT"})

# A browser that notes each visit.
opener=("$target/debug/examples/browser")
if [ "$*" = --browser ]; then
  IFS=' ' read -ra opener <<<"${BROWSER:-$(command -v xdg-open open wslview | head -1 || true)}"
  [ "${#opener[@]}" -gt 0 ] || fail "no browser was found: name one in BROWSER"
  for name in HOME PATH DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR XDG_CURRENT_DESKTOP; do
    [ -z "${!name:-}" ] || opener=("$name=${!name}" "${opener[@]}")
  done
  opener=(env "${opener[@]}")
fi
printf '#!/bin/sh\necho visited >>%q\nexec %s "$1"\n' "$work/visits" "$(printf '%q ' "${opener[@]}")" >"$work/bin/try-browser"
chmod +x "$work/bin/try-browser"

say "Starting a sign-in server, a git server with a private repository, and a token service like that of AWS, on this machine."
serve authorization_server ${1:+--consent yes} && issuer=$ready
serve git_server --issuer "$issuer" && repository=$ready
serve sts --issuer "$issuer" --audience keyfob && sts=$ready
environment+=("AWS_ENDPOINT_URL_STS=$sts")
cat >"$home/.config/keyfob/config.toml" <<END
[login.corp]
issuer    = "$issuer"
client_id = "keyfob"
scopes    = ["openid", "email", "offline_access"]
[git."${repository%/private/*}"]
login = "corp"
[aws.prod]
login    = "corp"
role_arn = "arn:aws:iam::123456789012:role/Developer"
END
printf '[profile prod]\nregion = eu-central-1\ncredential_process = "%s" aws get prod\n' "$work/bin/keyfob" >"$home/.aws/config"
registry=
if command -v docker-registry >/dev/null && command -v skopeo >/dev/null; then
  serve registry --issuer "$issuer" --image "$home/image" && registry=$ready
  printf '[docker."%s"]\nlogin = "corp"\n' "$registry" >>"$home/.config/keyfob/config.toml"
  printf '{ "credHelpers": { "%s": "keyfob" } }\n' "$registry" >"$home/.docker/config.json"
else
  left_out+=("docker: that needs docker-registry and skopeo (apt-get install docker-registry skopeo)")
fi
say "The configuration of keyfob, which names them:" && sed 's/^/    /' "$home/.config/keyfob/config.toml"

say "git asks keyfob. It has no token yet, so $([ $# = 0 ] && echo "the test browser" || echo "your browser") signs in, and the private repository is cloned:"
show keyfob setup git
show git clone "$repository" hello
say "From now on nobody is asked, and the browser stays closed. A commit, a push, a fetch:"
show git -C hello -c user.name=You -c user.email=you@example.com commit --quiet --allow-empty --message "Try keyfob"
show git -C hello push --quiet
show git -C hello fetch --verbose
[ "$(inside git -C hello rev-parse HEAD)" = "$(inside git ls-remote "$repository" main | cut -f1)" ] || fail "the push did not arrive"

say "AWS: keyfob exchanges the same sign-in for the keys of a role."
if inside aws --version >/dev/null 2>&1; then
  show aws sts get-caller-identity --profile prod --endpoint-url "$sts"
else
  show keyfob aws get prod
  left_out+=("aws: its command line is not installed, so keyfob's answer to it was shown instead")
fi
if [ -n "$registry" ]; then
  say "A private registry: an image is pushed and read with the same sign-in."
  show skopeo --insecure-policy copy --dest-tls-verify=false "oci:image:v1" "docker://$registry/team/hello:v1"
  if command -v docker >/dev/null; then show docker manifest inspect --insecure "$registry/team/hello:v1"; else
    show skopeo inspect --raw --tls-verify=false "docker://$registry/team/hello:v1"
    left_out+=("docker's own command line is not installed, so skopeo read the image")
  fi
fi
say "Who is signed in, and what protects it:" && show keyfob status
visits=$(wc -l <"$work/visits" | tr -d ' ')
[ "$visits" = 1 ] || fail "the browser was opened $visits times instead of once"
say "Signing out revokes the tokens at the server:" && show keyfob logout

say "Done: git$([ -z "$registry" ] && echo " and AWS" || echo ", AWS and docker") were answered with one sign-in; the browser was opened once. The servers and the temporary home go now."
[ "${#left_out[@]}" = 0 ] || printf 'Left out: %s\n' "${left_out[@]}"
[ $# = 0 ] && echo "The browser was a program that fills in forms by itself: ./install/try.sh --browser lets you sign in with yours."
echo "To install it and set it up, see README.md."
