#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one fuzz target for a while: fuzz.sh TARGET CORPUS WORK SECONDS FLOOR
#
# WORK takes what the fuzzer finds; CORPUS, the committed one, is only read.
# FLOOR is the number of edges it has to cover: a target that is turned away at
# the first check finds nothing, and says so by nothing else. FLOOR "crash" is
# for the target that must fail, which proves that a failure is noticed.
set -u
target=$1 corpus=$2 work=$3 seconds=$4 floor=$5

mkdir -p "$work/corpus"
rm -f "$work"/crash-* "$work"/leak-* "$work"/timeout-* "$work"/oom-*
set -- "$work/corpus"
[ -d "$corpus" ] && set -- "$@" "$corpus"
words=$(dirname "$0")/$(basename "$corpus").dict
[ -f "$words" ] && set -- -dict="$words" "$@"

# It ends when more whole seconds have passed than it is told, hence one less.
# libFuzzer's own exit status for a failure, 77, would pass for "skipped".
UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	"$target" -max_total_time=$((seconds - 1)) -timeout=10 -error_exitcode=1 \
	-artifact_prefix="$work/" "$@" >"$work/log" 2>&1
status=$?
covered=$(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$work/log" | tail -n 1)

if [ "$floor" = crash ]; then
	set -- "$work"/crash-*
	[ $status -ne 0 ] && [ -f "$1" ] && exit 0
	echo "the target that must fail did not: status $status"
	exit 1
fi
if [ $status -ne 0 ]; then
	tail -n 60 "$work/log"
	exit 1
fi
echo "$covered edges covered, the floor is $floor"
[ "${covered:-0}" -ge "$floor" ]
