# SPDX-License-Identifier: GPL-2.0-only
# Every command a person runs; `make help` lists them, harness/ does the work.
#
# BASE=7.3      the kernel version to build on (default 7.2)
# KERNEL=path   a git tree, an unpacked tree or a tarball to use instead

export BASE KERNEL
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := help

help: ## list the targets (this)
	@sed -n 's/^\([a-z]*\): ## /\1 /p' Makefile | while read -r t d; do \
		printf '  make %-8s %s\n' "$$t" "$$d"; done
	@echo '  with BASE=7.3 for another base version, or KERNEL=<git tree|unpacked tree|tarball>'

demo: ## boot a small kernel with the series and watch it work
	@harness/demo
test: ## every test: KUnit on UML; KUnit, kselftests, and upstream's against stock, in VMs
	@harness/test
check: ## checkpatch, sparse, W=1, kernel-doc, each commit alone, clang, arm64, i386, both bases
	@harness/check
tree: ## make build/linux: a git tree, the base plus one commit per patch
	@harness/tree
refresh: ## write build/linux's commits back to patches/ and the kernel files here
	@harness/refresh
series: ## write build/series/<topic>/: what goes to the mailing lists
	@harness/series
bench: ## run the benchmarks, write docs/results/
	@harness/bench
shell: ## an interactive VM with the series, the devices and a prompt
	@harness/shell
kunit: ## only the KUnit suites of dma-buf and Xe, on UML, in seconds once built
	@harness/kunit
clean: ## remove built kernels and results; keeps build/linux and the download
	@harness/clean

.PHONY: help demo test check tree refresh series bench shell kunit clean
