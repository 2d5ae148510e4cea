# SPDX-License-Identifier: GPL-2.0-only
# Every command a person runs; `make help` lists them, harness/ does the work.

export BASE KERNEL T C F CMD SERIES_OPTS VM_ACCEL VM_TIMEOUT
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:
.DEFAULT_GOAL := help

# What may be set, for every target and for some; anything else on the command line
# is a mistake, and would go unnoticed.
knows = BASE KERNEL
knows-test = T VM_ACCEL VM_TIMEOUT
knows-kunit = T
knows-check = C
knows-run = CMD VM_ACCEL VM_TIMEOUT
knows-show = F
knows-series = SERIES_OPTS
knows-demo = VM_ACCEL VM_TIMEOUT
knows-bench = VM_ACCEL VM_TIMEOUT
knows-shell = VM_ACCEL
given := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))
$(foreach t,$(or $(MAKECMDGOALS),help),$(foreach v,$(filter-out $(knows) $(knows-$t),$(given)),\
	$(error '$v' means nothing to 'make $t', which knows $(strip $(knows) $(knows-$t)); see 'make help')))

# What is meant for make alone is not taken from the environment, nor is CMD's $.
$(foreach v,T C F CMD,$(if $(filter environment,$(origin $v)),$(eval override $v :=)))
override CMD := $(value CMD)

help: ## list the targets (this)
	@sed -n 's/^\([a-z]*\): ## /\1 /p' Makefile | while read -r t d; do \
		printf '  make %-8s %s\n' "$$t" "$$d"; done
	@echo '  with BASE=7.3 for another base version, or KERNEL=<git tree|unpacked tree|tarball>'

demo: ## boot a small kernel with the series and watch it work
	@harness/demo
test: ## every test, on UML and in VMs; T='iov_revoke_test vfio/*' only those kselftests
	@harness/test
check: ## checkpatch, sparse, W=1, each commit alone, both bases; C='gcc modules' only those parts
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
run: ## run CMD='...' in that VM, in the directory of the selftests
	@harness/run
kunit: ## only the KUnit suites, on UML, in seconds once built; T='dma_buf*' only those suites
	@harness/kunit
show: ## print a kernel file as the series leaves it: F=drivers/pci/p2pdma.c
	@harness/show
clean: ## remove built kernels and results; keeps build/linux and the download
	@harness/clean

.PHONY: help demo test check tree refresh series bench shell run kunit show clean
