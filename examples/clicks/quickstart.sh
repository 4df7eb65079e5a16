#!/bin/sh
# Builds lakebed, takes in what landed for the example table, and asks two questions. Repeating it changes nothing.
# Needs Rust and a C compiler. Can be called from any folder; CARGO_TARGET_DIR may name another target folder.
set -eu

CDPATH='' cd -- "$(dirname -- "$0")/../.."
config=examples/clicks/lakebed.toml

say() { printf '$ %s\n' "$*"; }

say "cargo build --locked"
cargo build --locked

# Where cargo put the binary: only cargo knows, because the environment and its own configuration may name another folder.
lakebed=$(cargo build --locked --quiet --message-format=json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
if [ ! -x "$lakebed" ]; then
    echo "quickstart.sh: cargo built no binary; see its messages above" >&2
    exit 1
fi
echo "quickstart.sh: lakebed is $lakebed" >&2

query() {
    printf '\n'
    say "lakebed query --config $config \"$1\""
    "$lakebed" query --config "$config" "$1"
}

printf '\n'
say "lakebed run --config $config --at 2026-11-19T15:00:00Z"
"$lakebed" run --config "$config" --at 2026-11-19T15:00:00Z

query "
  SELECT hour,
         count(*) AS clicks,
         count(DISTINCT session_id) AS sessions,
         count(attributes['utm_source']) AS from_campaigns,
         count(*) FILTER (WHERE attributes['utm_source'] = 'newsletter') AS from_newsletter
  FROM shop.clicks
  GROUP BY hour
  ORDER BY hour"

query "
  SELECT reason, column_name, count(*) AS records, count(DISTINCT hour) AS hours
  FROM shop.clicks_quarantine
  GROUP BY reason, column_name
  ORDER BY reason, column_name"
