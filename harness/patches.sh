# SPDX-License-Identifier: GPL-2.0-only
# How a patch file is read, and how patches/series becomes commits. The working
# tree is not touched, and the same patches always give the same commit hashes.
# shellcheck shell=bash disable=SC2034

PATCHES=$TOP/patches
TIP=refs/harness/tip	# what tree last produced, or refresh last wrote
BASEREF=refs/harness/base
NEWREF=refs/harness/assembled
SECTION=$TOP/MAINTAINERS

# Who writes the commits, when, and what ends their messages: nobody, at no time, and
# the topic, unless `make series` says who sends them.
SENDER=${SENDER:-series <series@localhost>}
DATE=${DATE:-1700000000 +0000}

# A commit whose diff one base needs otherwise has a second file, <patch>.<version>,
# for that base alone; an empty one is for a base that has what the patch does.
# patch_file PATH-IN-SERIES says which file it is here.
base_version() { g show "$BASEREF:Makefile" | sed -n 's/^VERSION = //p; s/^PATCHLEVEL = //p' | paste -sd.; }
patch_file() { if [[ -e $PATCHES/$1.$VERSION ]]; then echo "$1.$VERSION"; else echo "$1"; fi; }

series_list() { [[ ! -e $PATCHES/series ]] || sed 's/[[:space:]]*#.*//; /^[[:space:]]*$/d' "$PATCHES/series"; }

# A patch file: header, empty line, message; '---' and notes for reviewers; diff.
patch_head() { sed '/^$/,$d' "$1"; }
patch_subject() { patch_head "$1" | sed -n 's/^Subject: //p'; }
patch_adds() { patch_head "$1" | sed -n 's/^Adds: //p'; }
patch_body() { sed '1,/^$/d; /^diff --git /,$d' "$1" | sed '/^---$/,$d' | git stripspace; }
patch_notes() { sed '1,/^$/d; /^diff --git /,$d' "$1" | sed '1,/^---$/d' | git stripspace; }
patch_diff() { sed -n '/^diff --git /,$p' "$1"; }
diff_paths() { sed -n 's|^diff --git a/\(.*\) b/.*|\1|p' "$@"; }
series_adds() { (cd "$PATCHES" && series_list | xargs -r sed -s '/^$/,$d' | sed -n 's/^Adds: //p'); }

patch_ok() {
	local p=$1 bad
	[[ -r $PATCHES/$p ]] || die "patches/series names $p, but there is no patches/$p"
	[[ ${p%".$VERSION"} == */*.patch ]] || die "patches/series: '$p' should read <topic>/<name>.patch"
	bad=$(patch_head "$PATCHES/$p" | grep -Ev -m1 '^(Subject|Adds): .') &&
		die "patches/$p: '$bad': the header holds Subject: and Adds: lines, then an empty line"
	[[ $(patch_subject "$PATCHES/$p" | wc -l) = 1 ]] || die "patches/$p: wants one Subject: line"
	! grep -q '^new file mode' "$PATCHES/$p" ||
		die "patches/$p: its diff adds a file; name it in an Adds: line and put the file at its kernel path here"
	! diff_paths "$PATCHES/$p" | grep -qx MAINTAINERS ||
		die "patches/$p changes MAINTAINERS: the series' section is the file MAINTAINERS here"
}

base_name() { g config harness.base; }

# maintainers ADDED-FILES: the series' section, as far as it speaks of those files.
maintainers() {
	local line f sender=$SENDER
	while IFS= read -r line; do
		if [[ $line == F:* ]]; then
			for f in "${@}"; do
				# shellcheck disable=SC2053
				[[ $f == ${line#F:?} || ($line == */ && $f == "${line#F:?}"*) ]] || continue
				echo "$line"
				break
			done
		elif [[ $line != '#'* ]]; then
			if [[ $line == L:* && $sender && $sender != *@localhost\> ]]; then
				printf 'M:\t%s\n' "$sender"
				sender=
			fi
			echo "$line"
		fi
	done <"$SECTION"
}

# splice SECTION: the kernel's MAINTAINERS on stdin with the section in its place,
# behind the title that comes next before it: the file is not quite in order.
splice() {
	LC_ALL=C awk -v section="$1" '
		BEGIN { title = section; sub(/\n.*/, "", title) }
		{ line[NR] = $0 }
		/^Maintainers List/ { list = 1 }
		list && line[NR - 1] == "" && /^[A-Z0-9][A-Z0-9]/ {
			if (last == before) next_title = NR
			if ($0 < title && $0 > before) before = $0
			last = $0
		}
		END { for (i = 1; i <= NR; i++) { if (i == next_title) print section "\n"; print line[i] } }'
}

# The files that the series adds, as each is when it is added: what is here is their
# last state, from which later patches' changes are taken back, the last one first.
# Leaves them in the index $1.
first_states() {
	local -x GIT_INDEX_FILE=$1
	local p f err
	local -a adds include
	mapfile -t adds < <(series_adds)
	((${#adds[@]})) || return 0
	for f in "${adds[@]}"; do
		[[ -f $TOP/$f ]] || die "the series adds $f, but there is no such file here"
		if [[ -x $TOP/$f ]]; then echo 100755; else echo 100644; fi
	done >"$1.modes"
	printf '%s\n' "${adds[@]/#/$TOP/}" | g hash-object -w --no-filters --stdin-paths >"$1.blobs"
	printf '%s\n' "${adds[@]}" >"$1.adds"
	paste -d ' ' "$1.modes" "$1.blobs" | paste - "$1.adds" | g update-index --index-info
	while read -r p; do
		p=$PATCHES/$(patch_file "$p")
		[[ -s $p ]] || continue
		mapfile -t include < <(diff_paths "$p" | grep -xF -f "$1.adds")
		((${#include[@]})) || continue
		err=$(patch_diff "$p" | g apply --cached --whitespace=nowarn -R "${include[@]/#/--include=}" 2>&1) || {
			f=$(sed -n 's/^error: patch failed: //p; s/^error: //p' <<<"$err" | head -n1)
			die "${p#"$TOP"/} changes $f, which an earlier patch adds, and the file here does not have that change: edit it in build/linux and 'make refresh'"
		}
	done < <(series_list | tac)
}

# Everything below this directory is made by assemble, on an index that has only
# the files that the series touches: fast-import puts them into the whole tree.
commits() {
	local base=$1 W=$2 from=$1 topic p f err notes tree last section='' said='' message
	local -a added=() adds
	local -A dup=()
	local -x GIT_INDEX_FILE=$W/index
	first_states "$W/first"
	series_list | while read -r p; do p=$(patch_file "$p"); [[ ! -s $PATCHES/$p ]] || diff_paths "$PATCHES/$p"; done |
		{ cat; echo MAINTAINERS; } | sort -u >"$W/paths"
	g ls-tree -r "$base" | awk -F '\t' 'FNR == NR { want[$0]; next } $2 in want' "$W/paths" - | g update-index --index-info
	last=$(g write-tree)
	while read -r p; do
		[[ ! ${dup[$p]:-} ]] || die "patches/series names $p twice"
		dup[$p]=1
		patch_ok "$p"
		topic=${p%/*}
		p=$(patch_file "$p")
		[[ -s $PATCHES/$p ]] || continue
		patch_ok "$p"
		mapfile -t adds < <(patch_adds "$PATCHES/$p")
		for f in ${adds[@]+"${adds[@]}"}; do
			[[ ! $(g ls-files "$f") ]] || die "patches/$p adds $f, which an earlier patch adds or changes"
			GIT_INDEX_FILE=$W/first g ls-files -s "$f" | g update-index --index-info
			added+=("$f")
		done
		if grep -q '^diff --git ' "$PATCHES/$p"; then
			err=$(patch_diff "$PATCHES/$p" | g apply --cached --whitespace=nowarn 2>&1) || {
				f=$(sed -n 's/^error: patch failed: //p; s/^error: //p' <<<"$err" | head -n1)
				die "patches/$p does not apply to $f of $(base_name)"
			}
		fi
		# Fixes can be sent alone, without a section about the rest.
		if [[ -e $SECTION && $topic != *-fixes ]] && ((${#added[@]})); then
			section=$(maintainers "${added[@]}")
			if [[ $section != "$said" ]] && grep -q ^F: <<<"$section"; then
				said=$section
				printf '100644 %s\tMAINTAINERS\n' "$(g show "$base:MAINTAINERS" | splice "$section" | g hash-object -w --stdin)" |
					g update-index --index-info
			fi
		fi
		tree=$(g write-tree)
		message=$({ patch_subject "$PATCHES/$p"; echo; patch_body "$PATCHES/$p"; } | git stripspace |
			git interpret-trailers --no-divider --trailer "${TRAILER:-Topic: $topic}")
		notes=$(patch_notes "$PATCHES/$p")
		echo "commit $NEWREF"
		echo "author $SENDER $DATE"
		echo "committer $SENDER $DATE"
		echo "data <<END-OF-MESSAGE"
		echo "$message"
		[[ ! $notes ]] || printf -- '---\n%s\n' "$notes"
		echo END-OF-MESSAGE
		[[ ! $from ]] || echo "from $from"
		from=
		g -c core.quotePath=false diff-tree -r --no-renames "$last" "$tree" | 
			awk -F '\t' '{ split($1, c, " "); print c[5] == "D" ? "D " $2 : "M " c[2] " " c[4] " " $2 }'
		echo
		last=$tree
	done < <(series_list)
}

# assemble BASE-COMMIT: prints the commit that the whole series makes on top.
assemble() {
	local W VERSION
	VERSION=$(base_version)
	W=$(mktemp -d "$BUILD/assemble.XXXXXX")
	if commits "$1" "$W" >"$W/stream"; then
		g update-ref $NEWREF "$1"
		g -c fastimport.unpackLimit=1000000 fast-import --quiet --force --date-format=raw <"$W/stream" && g rev-parse $NEWREF
		rm -rf "$W"
	else
		rm -rf "$W"
		return 1
	fi
}

# What the commits are made from, in one word.
inputs() {
	{
		g rev-parse $BASEREF
		cd "$TOP" && { find patches -type f; series_adds; ls MAINTAINERS harness/patches.sh; } | sort | xargs -r -d '\n' sha256sum
	} 2>&1 | sha256sum | cut -d' ' -f1
}

# assembled COMMIT: that is what they make, and what build/linux holds.
assembled() {
	g update-ref $TIP "$1"
	g config harness.inputs "$(inputs)"
}

# generated INDEX KCONFIG COMMIT: what is here for readers, made from the patches.
generated() {
	{
		echo '<!-- SPDX-License-Identifier: GPL-2.0-only -->'
		echo '<!-- Made by make refresh. -->'
		echo '# Kernel files that the series changes'
		echo
		echo 'And the patches that change each. `make show F=<file>` prints a file as the series'
		echo 'leaves it; files that the series adds lie at their kernel paths in this repository.'
		echo
		echo '| file | patches |'
		echo '|---|---|'
		(cd "$PATCHES" && series_list | while read -r p; do diff_paths "$p" | sed "s|\$| ${p%/*}/$(basename "$p" | cut -c1-4)|"; done; [[ ! -e $SECTION ]] || echo 'MAINTAINERS [the section](../MAINTAINERS), spliced in') |
			sort -s -k1,1 | awk -v added="$(series_adds)" '
			BEGIN { n = split(added, a, "\n"); for (i = 1; i <= n; i++) new[a[i]] }
			$1 in new { next }
			$1 != last { if (last) print line " |"; line = "| `" $1 "` |"; last = $1 }
			{ $1 = ""; line = line $0 }
			END { if (last) print line " |" }'
	} >"$1"
	{
		echo '# SPDX-License-Identifier: GPL-2.0-only'
		echo '# What the series changes in Kconfig files, in one diff: for readers. The patches'
		echo '# of the series carry it already. Made by make refresh.'
		g diff --no-color --no-ext-diff --no-renames "$BASEREF" "$3" -- '*Kconfig*' ':!*.kunitconfig' | sed '/^index [0-9a-f]*\.\./d'
	} >"$2"
}

tree_dirty() { [[ $(g status --porcelain | head -n1) ]]; }
