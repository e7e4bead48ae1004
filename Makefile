# make run    does all the set-up and shows a container's life as JSON lines
# make test   does all the set-up and passes all tests
# Both want root on Debian and a Swift toolchain from 6.2 on.

export PATH := $(PATH):/opt/swift/usr/bin:$(HOME)/.local/share/swiftly/bin

RELEASEFLAGS ?= --static-swift-stdlib
SOURCES = git ls-files --cached --others --exclude-standard '*.swift' ':!:*.pb.swift'

.PHONY: help setup build release run test lint format protos clean

help:
	@sed -n 's/^# //p' Makefile

setup:
	@scripts/setup

build: setup
	swift build

release: setup
	swift build -c release --product containerd-worker $(RELEASEFLAGS)

run: release
	@WORKER="$$(swift build -c release --show-bin-path $(RELEASEFLAGS))/containerd-worker" scripts/run

test: setup
	swift build --build-tests
	swift test --skip-build --disable-xctest $(TESTARGS)

lint:
	$(SOURCES) | xargs swift format lint --strict --parallel

format:
	$(SOURCES) | xargs swift format --in-place --parallel

protos:
	scripts/protos

clean:
	rm -rf .build
