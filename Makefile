# make run    does all the set-up and shows a container's life as JSON lines
# make test   does all the set-up and passes all tests
# make test-matrix  the same with containerd 1.6, 1.7 and 2 of Debian, one after another
# make fuzz   fuzzes the parser for FUZZ_SECONDS (60)
# make chaos  kills everything at random for CHAOS_SECONDS (60) and accounts for every process; CHAOS_SEED repeats a run
# make soak   SOAK_LIVES (5000) containers and SOAK_EXECS (20000) execs, and the worker is where it was
# make bench  measures the worker beside its peers, and then make scale
# make scale  measures it with 10 to 300 containers, and with 10000 of a simulated containerd; SCALEARGS are more options
# make setup, build, release, lint, format, protos, clean
# Both want root on Debian and a Swift toolchain from 6.2 on.

export PATH := $(PATH):/opt/swift/usr/bin:$(HOME)/.local/share/swiftly/bin

# Swift's runtime and gRPC go into the program; scripts/static-grpc says how and why.
STATIC = $(CURDIR)/.build/static
export RELEASEFLAGS ?= --static-swift-stdlib -Xlinker -L$(STATIC)
SOURCES = git ls-files --cached --others --exclude-standard '*.swift' ':!:*.pb.swift'

.PHONY: help setup build release run test test-matrix lint format protos fuzz chaos soak bench scale clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

setup:
	@scripts/setup

build: setup
	swift build

release: setup
	@scripts/static-grpc $(STATIC)
	swift build -c release --product containerd-worker $(RELEASEFLAGS)

run: release
	@WORKER="$$(swift build -c release --show-bin-path $(RELEASEFLAGS))/containerd-worker" scripts/run

test: setup
	swift build --build-tests
	scripts/test $(TESTARGS)

# What the versions cannot differ in is tested by make test.
test-matrix: setup
	swift build --build-tests
	@for version in 1.6 1.7 2; do \
	  echo "== containerd $$version"; \
	  directory=$$(scripts/containerd-version $$version .build/containerd-$$version) && \
	  CONTAINERD_BIN=$$directory scripts/test --filter 'EndToEnd|GRPCTests' $(TESTARGS) || exit 1; \
	done

lint:
	@files=$$($(SOURCES)) && swift format lint --strict --parallel $$files

format:
	@files=$$($(SOURCES)) && swift format --in-place --parallel $$files

protos:
	scripts/protos

# FUZZ_SECONDS says how long.
fuzz: setup
	Fuzz/run

BUILT = $$(swift build -c release --show-bin-path $(RELEASEFLAGS))/containerd-worker

# CHAOSARGS are more options of Chaos/chaos.py, such as --faults worker,client.
chaos: release
	@Chaos/chaos.py --worker "$(BUILT)" --seconds $(or $(CHAOS_SECONDS),60) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED)) $(CHAOSARGS)

soak: release
	@Chaos/soak.py --worker "$(BUILT)" --lives $(or $(SOAK_LIVES),5000) --execs $(or $(SOAK_EXECS),20000) $(SOAKARGS)

bench: release
	Benchmarks/run

scale: release
	@Benchmarks/scale/scale.py --worker "$(BUILT)" $(SCALEARGS)

clean:
	rm -rf .build Fuzz/.build
