#!/usr/bin/env bash
#
# Checks the project, replays `events.jsonl`, and compares what triggers would send with `expected.jsonl`, and who is in which group
# with `expected-profiles.jsonl`. Arguments go to `deltaic replay`. DELTAIC names the program; without it, it is the one in the path.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
deltaic=${DELTAIC:-deltaic}
results=$(mktemp -d)
trap 'rm -r "$results"' EXIT

"$deltaic" check .
"$deltaic" replay . --until 2026-03-02T11:00:00Z --triggers - --profiles "$results/profiles.jsonl" "$@" | diff expected.jsonl -
diff expected-profiles.jsonl "$results/profiles.jsonl"
echo "all is as expected"
