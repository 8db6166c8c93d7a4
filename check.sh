#!/usr/bin/env bash
#
# Everything that has to hold before a change is taken: formatting, lints, dependencies, documentation, the shop, tests.
#
#     ./check.sh
#
# Needs a Rust toolchain of rustup and a C compiler, bash and curl; Node with npm, and Chromium, for the libraries of vendors that are
# tested against the server. Where there is Python 3 (with `venv`), so is one more; where there is faketime, some tests run on another
# day. What else it needs, cargo installs: the three tools below, once.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# What cargo installs need not be in the path of a shell that is no login shell.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin

step() { printf '\n--- %s\n' "$*"; }

# Installs a tool where it is missing; any version of it will do, this one is known to.
need() {
    local tool=$1 version=$2
    shift 2
    local -a command=("$tool")
    [[ $tool != cargo-* ]] || command=(cargo "${tool#cargo-}")
    if ! "${command[@]}" --version >/dev/null 2>&1; then
        step "installing $tool"
        cargo install --locked "$tool@$version" "$@"
    fi
}

for component in rustfmt clippy; do
    cargo "${component/rust/}" --version >/dev/null 2>&1 || rustup component add "$component"
done
# Without the part that updates itself, which would bring a TLS library of its own to be built.
need cargo-nextest 0.9.143 --no-default-features --features default-no-update
need cargo-deny 0.20.2
# The book as files: nobody is served it here, and it is not searched.
need mdbook 0.5.4 --no-default-features

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

step "dependencies: licences, bans, sources"
cargo deny --log-level error check licenses bans sources

step "dependencies: advisories"
# Their database is a git repository: not every network lets it be fetched.
if fetched=$(cargo deny fetch db 2>&1); then
    cargo deny --log-level error check advisories
else
    echo "NOT CHECKED: the advisory database cannot be fetched here:"
    echo "$fetched" | tail -1
fi

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --workspace --all-features --locked --quiet

step "the book"
# A page that SUMMARY.md names and nobody wrote ends this; tests/docs.rs follows the links, and tests/book runs what pages show.
mdbook build

step "examples in the documentation"
cargo test --doc --workspace --all-features --locked

step "the shop, by the program as README builds it"
# Without what is left out by default: nowhere else is that built here.
cargo build --locked
# Not on the usual ports: somebody may be trying it out.
program=${CARGO_TARGET_DIR:-target}/debug/deltaic
DELTAIC=$program SHOP_PORT=${SHOP_PORT:-28080} \
    SHOP_RECEIVER_PORT=${SHOP_RECEIVER_PORT:-29000} examples/shop/demo.sh
# What was left out is refused in words. `tests/features.rs` has more of it, for who tests that build.
refused=$("$program" replay examples/load --from-history s3://histories/shop 2>&1 >/dev/null) && exit 1
[[ $refused == *"cargo build --release --features s3"* ]] || { echo "$refused"; exit 1; }

step "tests"
cargo nextest run --workspace --all-features --locked

# No result may depend on today. Those that see a clock, on a day that is none in most years; the others have one of their own.
step "tests on 29 February 2028"
if command -v faketime >/dev/null; then
    days=$(($(date -d 2028-02-29 +%s) / 86400 - $(date +%s) / 86400))
    runner="CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUNNER"
    # Timers go by the monotonic clock, which stays. By days, so that a process that starts later has a later time.
    env FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 "$runner=faketime -f $(printf '%+dd' "$days")" \
        cargo nextest run --workspace --all-features --locked -E 'test(/^(catalogue|format|durability|forwards|server)::|^(engine|log)::/)'
else
    echo "NOT CHECKED: there is no faketime here"
fi
