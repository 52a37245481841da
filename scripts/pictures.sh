#!/usr/bin/env bash
# Takes the documentation's pictures of the page anew, in a real browser against the running whole: the tests that reach
# those states take them on their way.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$root"
mkdir -p docs/images/page
# The worker's name is seen in them.
export SIGHTLINE_PICTURES=docs/images/page SIGHTLINE_ID=host1
node scripts/recording.mjs docs/images/page/recording.gif
node --test --test-concurrency=1 e2e/page-quality.test.mjs e2e/sources.test.mjs e2e/states.test.mjs
