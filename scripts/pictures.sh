#!/usr/bin/env bash
# Takes the documentation's pictures of the page anew, in a real browser against the running whole: the tests that reach
# those states take them on their way.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
mkdir -p docs/images/page
export SIGHTLINE_PICTURES=docs/images/page
node --test --test-concurrency=1 e2e/page-quality.test.mjs e2e/sources.test.mjs e2e/states.test.mjs
