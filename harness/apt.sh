# SPDX-License-Identifier: GPL-2.0-only
# An apt state of our own in build/, so that a suite the machine does not use can
# be read without touching the machine's configuration.
# shellcheck shell=bash

APT=$BUILD/apt

# own_apt STATUS: write an apt configuration that only knows $APT; STATUS is the
# package database it believes in.
own_apt() {
	mkdir -p "$APT/parts" "$APT/lists/partial" "$APT/cache/archives/partial"
	rm -f "$APT"/parts/*
	: >"$APT/empty"
	cat >"$APT/apt.conf" <<-EOF
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$APT/parts";
		Dir::Etc::preferencesparts "/dev/null";
		Dir::State::lists "$APT/lists";
		Dir::State::status "$1";
		Dir::Cache "$APT/cache";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		#clear Acquire::IndexTargets::deb::DEP-11;
		#clear Acquire::IndexTargets::deb::Contents-deb;
	EOF
}

# The machine's own archive entry, made to read another suite: deb822 or one line.
sources_for() { # suite
	local code f
	code=$(. /etc/os-release && echo "${VERSION_CODENAME:-none}")
	for f in /etc/apt/sources.list.d/*.sources; do
		[[ -r $f ]] || continue
		awk -v suite="$1" -v own=" ($code|oldstable|stable|testing|unstable|sid) " -v RS= '{
			n = split($0, l, "\n"); out = ""; mine = 0
			for (i = 1; i <= n; i++) {
				key = tolower(l[i])
				if (key ~ /^#/) continue
				if (key ~ /^enabled: *no/) next
				if (key ~ /^suites:/ && (l[i] " ") ~ own) mine = 1
				if (key ~ /^suites:/) l[i] = "Suites: " suite
				if (key ~ /^types:/) l[i] = "Types: deb"
				if (key ~ /^components:/) l[i] = "Components: main"
				out = out l[i] "\n"
			}
			if (mine) { print out; exit }
		}' "$f" >"$APT/parts/own.sources"
		[[ ! -s $APT/parts/own.sources ]] || return 0
	done
	rm -f "$APT/parts/own.sources"
	for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
		[[ -r $f ]] || continue
		sed -nE "s/^deb[[:space:]]+(\[[^]]*\][[:space:]]+)?([^[:space:]]+)[[:space:]]+($code|oldstable|stable|testing|unstable|sid)[[:space:]].*/deb \1\2 $1 main/p" "$f" |
			sed 1q >"$APT/parts/own.list"
		[[ ! -s $APT/parts/own.list ]] || return 0
	done
	return 1
}
