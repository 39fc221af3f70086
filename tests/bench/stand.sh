# What the benchmarks have in common: the release programs, servers that end with the script, and a home. Sourced, from the top folder.
cargo build --release --locked --quiet --bins --examples
target=$(cargo metadata --format-version 1 --no-deps --offline | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
keyfob=$target/keyfob

work=$(mktemp -d)
servers=()
finish() {
  for server in "${servers[@]}"; do kill "$server" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

# Starts a server that says `READY URL`; leaves the URL in $url, and what it says in $said.
serve() {
  said=$work/ready.${#servers[@]}
  mkfifo "$said.input"
  # held open for writing by this script alone: a server whose standard input ends stops by itself
  exec {input}<>"$said.input"
  "$@" <"$said.input" {input}>&- >"$said" 2>>"$work/servers" &
  servers+=($!)
  for _ in $(seq 600); do
    url=$(sed -n 's/^READY //p' "$said")
    [ -z "$url" ] || return 0
    sleep 0.05
  done
  echo "$0: $1: not ready within 30 s" >&2
  return 1
}

# make_home NAME ISSUER LINES: makes a home with a configuration of at least so many lines; leaves it in $home, and in $here how a program runs
# there. The measured programs get this environment once, from the driver; `env` itself is not measured.
make_home() {
  home=$work/$1
  mkdir -p "$home/.config/keyfob" "$home/bin"
  chmod 700 "$home"
  ln -s "$keyfob" "$home/bin/docker-credential-keyfob"
  local config=$home/.config/keyfob/config.toml number
  {
    printf '[login.corp]\nissuer = "%s"\nclient_id = "keyfob"\nscopes = ["openid", "offline_access"]\n\n' "$2"
    printf '[git."https://git.example.com"]\nlogin = "corp"\n\n'
    printf '[docker."registry.example.com"]\nlogin = "corp"\n\n'
    printf '[aws.dev]\nlogin = "corp"\nrole_arn = "arn:aws:iam::123456789012:role/dev"\nregion = "eu-central-1"\n\n'
    for number in $(seq $((($3 - 16) / 3))); do
      printf '[git."https://host%s.example.net/team"]\nlogin = "corp"\n\n' "$number"
    done
  } >"$config"
  while [ "$(wc -l <"$config")" -lt "$3" ]; do echo '#'; done >>"$config"
  chmod 600 "$config"
  here=(env -i "HOME=$home" "PATH=/usr/bin:/bin" "KEYFOB_KEY_FILE=$home/key" "KEYFOB_BROWSER=$target/examples/browser"
    "AWS_ENDPOINT_URL_STS=${sts:-}")
}
