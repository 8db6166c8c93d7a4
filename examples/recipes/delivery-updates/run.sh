#!/usr/bin/env bash
#
# Checks the project, replays `events.jsonl`, and compares what triggers would send with `expected.jsonl`. Arguments go to
# `deltaic replay`. DELTAIC names the program; without it, it is the one in the path.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
deltaic=${DELTAIC:-deltaic}

"$deltaic" check .
"$deltaic" replay . --until 2026-03-02T12:00:00Z --triggers - "$@" | diff expected.jsonl -
echo "all is as expected"
