# SPDX-License-Identifier: GPL-2.0-only
# Helpers that every script of the harness sources: where things are, how to
# speak to the user, how to run a long step with progress and a log.
# shellcheck shell=bash disable=SC2034

set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C.UTF-8
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE CDPATH MAKEFLAGS MFLAGS MAKELEVEL ARCH CROSS_COMPILE LLVM

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$TOP/build${STOCK:+/stock}	# STOCK=1: all of it for the base by itself, see harness/upstream
BASE=${BASE:-7.2}
KERNEL=${KERNEL:-}
NPROC=$(nproc)
SELF=$(basename "$0")
export BASE KERNEL

die() { echo "$SELF: $*" >&2; exit 1; }
say() { echo "$*"; }
# A filter for what went wrong: say it now, and keep it for the end of harness/test.
failure() { tee -a "$FAILURES"; }

[[ $BASE =~ ^[0-9]+\.[0-9]+$ ]] || die "BASE=$BASE: give a version such as 7.2 or 7.3"
if [[ $KERNEL ]]; then
	[[ -e $KERNEL ]] || die "KERNEL=$KERNEL: no such file or directory"
	KERNEL=$(realpath "$KERNEL")
	SUFFIX=$(basename "$KERNEL")
	SUFFIX=-${SUFFIX%.tar*}
elif [[ $BASE = 7.2 ]]; then
	SUFFIX=
else
	SUFFIX=-$BASE
fi
[[ $TOP != *[[:space:]]* ]] || die "kernel builds need a path without spaces, not '$TOP'"

LINUX=$BUILD/linux$SUFFIX	# the git tree
OUT=$BUILD/out$SUFFIX		# what is built from it
LOGS=$BUILD/logs
RESULTS=$BUILD/results$SUFFIX
FAILURES=$TOP/build/failures
mkdir -p "$LOGS" 2>/dev/null && [[ -w $BUILD && -w $LOGS ]] || die "cannot write to $BUILD"

# git in build/linux
g() { git -C "$LINUX" "$@"; }

# One harness at a time in one build/: a second one waits for nobody, it says so.
lock() {
	[[ ! ${HARNESS_LOCKED:-} ]] || return 0
	exec 9>"$BUILD/.lock"
	flock -n 9 || die "another make is at work in build/; wait for it to end"
	export HARNESS_LOCKED=1
}

# steps N: the steps to come. step NAME LOG CMD...: run CMD with its output in
# LOG, show elapsed time (live on a terminal, else every 30 s); when it fails,
# print the errors and name the log. QUIET=1: progress goes to stderr, a step
# that is done leaves nothing, and one that fails is the caller's to report.
STEP=0 STEPS=1
steps() { STEPS=$1 STEP=0; }
step() {
	local name=$1 log=$2 start=$SECONDS pid rc=0 tag tick=0 fd=1
	[[ ! ${QUIET:-} ]] || fd=2
	shift 2
	STEP=$((STEP + 1))
	tag="[$SELF $STEP/$STEPS] $name"
	mkdir -p "$(dirname "$log")"
	set -m		# a process group of its own, so that all of it can be ended
	("$@") >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	# shellcheck disable=SC2064
	trap "kill -- -$pid 2>/dev/null; exit 130" INT TERM HUP
	while kill -0 $pid 2>/dev/null; do
		if [[ -t $fd ]]; then
			printf '\r%s  %d s \033[K' "$tag" $((SECONDS - start)) >&$fd
		elif ((SECONDS - start >= (tick + 1) * 30)); then
			tick=$((tick + 1))
			echo "$tag  $((SECONDS - start)) s ..." >&$fd
		fi
		sleep 0.3
	done
	wait $pid || rc=$?
	trap - INT TERM HUP
	[[ ! -t $fd ]] || printf '\r\033[K' >&$fd
	[[ ! ${QUIET:-} ]] || return $rc
	if ((rc)); then
		echo "$tag  FAILED after $((SECONDS - start)) s, log: ${log#"$TOP"/}"
		# What a script of ours said last is the reason; else find the compiler's.
		tail -n 1 "$log" | grep "^$SELF: " || { grep -E -m 8 '(error|Error|fatal|undefined|No rule)' "$log" || tail -n 8 "$log"; } | sed 's/^/    /'
		return $rc
	fi
	echo "$tag  $((SECONDS - start)) s"
}

# The kernel build: ccache where present, the same result wherever it is built.
CC=gcc
if command -v ccache >/dev/null; then
	CC="ccache gcc"
	export CCACHE_BASEDIR=$TOP CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-10G}
fi
export KBUILD_BUILD_TIMESTAMP=@1700000000 KBUILD_BUILD_USER=series KBUILD_BUILD_HOST=build

# The clang that is new enough for these kernels, as kbuild's LLVM= wants it.
LLVM_MIN=17
find_llvm() {
	local s v
	for s in '' -21 -20 -19 -18 -17; do
		v=$("clang$s" --version 2>/dev/null | sed -n 's/.*clang version \([0-9]*\).*/\1/p') || continue
		((${v:-0} >= LLVM_MIN)) && command -v "ld.lld$s" >/dev/null || continue
		echo "${s:-1}"
		return
	done
	return 1
}
