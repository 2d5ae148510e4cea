# SPDX-License-Identifier: GPL-2.0-only
# How a patch file is read, and how patches/series becomes commits: everything
# happens on a temporary index, so the working tree is not touched and the same
# patches always give the same commit hashes.
# shellcheck shell=bash disable=SC2034

PATCHES=$TOP/patches
TIP=refs/harness/tip	# what tree last produced, or refresh last wrote
BASEREF=refs/harness/base

ident() {
	env GIT_AUTHOR_NAME=series GIT_AUTHOR_EMAIL=series@localhost GIT_AUTHOR_DATE='1700000000 +0000' \
	    GIT_COMMITTER_NAME=series GIT_COMMITTER_EMAIL=series@localhost GIT_COMMITTER_DATE='1700000000 +0000' "$@"
}

# A commit whose diff one base needs otherwise has a second file, <patch>.<version>,
# for that base alone; an empty one is for a base that has what the patch does.
# patch_file PATH-IN-SERIES says which file it is here.
base_version() { g show "$BASEREF:Makefile" | sed -n 's/^VERSION = //p; s/^PATCHLEVEL = //p' | paste -sd.; }
patch_file() { if [[ -e $PATCHES/$1.$VERSION ]]; then echo "$1.$VERSION"; else echo "$1"; fi; }

series_list() { [[ ! -e $PATCHES/series ]] || sed 's/[[:space:]]*#.*//; /^[[:space:]]*$/d' "$PATCHES/series"; }
patch_head() { sed '/^$/,$d' "$1"; }
patch_subject() { patch_head "$1" | sed -n 's/^Subject: //p'; }
patch_adds() { patch_head "$1" | sed -n 's/^Adds: //p'; }
patch_body() { sed '1,/^$/d' "$1" | sed '/^---$/,$d' | git stripspace; }
patch_diff() { sed '1,/^---$/d' "$1"; }

patch_ok() {
	local p=$1 bad
	[[ -r $PATCHES/$p ]] || die "patches/series names $p, but there is no patches/$p"
	[[ ${p%".$VERSION"} == */*.patch ]] || die "patches/series: '$p' should read <topic>/<name>.patch"
	bad=$(patch_head "$PATCHES/$p" | grep -Ev -m1 '^(Subject|Adds): .') &&
		die "patches/$p: '$bad': the header holds Subject: and Adds: lines, then an empty line"
	[[ $(patch_subject "$PATCHES/$p" | wc -l) = 1 ]] || die "patches/$p: wants one Subject: line"
	! patch_diff "$PATCHES/$p" | grep '^new file mode' >/dev/null ||
		die "patches/$p: its diff adds a file; name it in an Adds: line and put the file at its kernel path here"
}

base_name() { g config harness.base; }

# assemble BASE-COMMIT: prints the commit that the whole series makes on top.
assemble() {
	local parent=$1 p f err mode blob tree dup topic
	local VERSION
	local -x GIT_INDEX_FILE=$LINUX/.git/harness-index
	dup=$(series_list | sort | uniq -d | head -n1)
	[[ ! $dup ]] || die "patches/series names $dup twice"
	rm -f "$GIT_INDEX_FILE"
	g read-tree "$parent"
	VERSION=$(base_version)
	while read -r p; do
		patch_ok "$p"
		topic=${p%/*}
		p=$(patch_file "$p")
		[[ -s $PATCHES/$p ]] || continue
		patch_ok "$p"
		if [[ $(patch_diff "$PATCHES/$p") ]]; then
			err=$(patch_diff "$PATCHES/$p" | g apply --cached --whitespace=nowarn 2>&1) || {
				f=$(sed -n 's/^error: patch failed: //p; s/^error: //p' <<<"$err" | head -n1)
				die "patches/$p does not apply to $f of $(base_name)"
			}
		fi
		while read -r f; do
			[[ -f $TOP/$f ]] || die "patches/$p adds $f, but there is no such file here"
			[[ ! $(g ls-files "$f") ]] || die "patches/$p adds $f, which is already in the kernel or in an earlier patch"
			mode=100644
			[[ ! -x $TOP/$f ]] || mode=100755
			blob=$(g hash-object -w --no-filters "$TOP/$f")
			g update-index --add --cacheinfo "$mode,$blob,$f"
		done < <(patch_adds "$PATCHES/$p")
		tree=$(g write-tree)
		parent=$({ patch_subject "$PATCHES/$p"; echo; patch_body "$PATCHES/$p"; } |
			git stripspace | git interpret-trailers --no-divider --trailer "Topic: $topic" |
			ident git -C "$LINUX" commit-tree "$tree" -p "$parent")
	done < <(series_list)
	rm -f "$GIT_INDEX_FILE"
	echo "$parent"
}

tree_dirty() { [[ $(g status --porcelain | head -n1) ]]; }
