# Two commands matter: `make demo` and `make test`. Each installs what is missing, builds, and runs.
SWIFT ?= swift
CONFIGURATION = release
BUILD = $(SWIFT) build -c $(CONFIGURATION)
BIN = .build/$(CONFIGURATION)
# Debian's names of the C libraries' headers.
PACKAGES = liblmdb-dev liblz4-dev pkg-config

.PHONY: demo test bench lint sanitize deps build clean

demo: build
	$(BIN)/larder-bench demo

test: deps
	$(SWIFT) test -c $(CONFIGURATION) --disable-xctest

# Ratio and speed of the exact encodings; page-in and page-out next to what the machine allows, and to Redis if
# redis-server is installed. About two minutes.
bench: build
	$(BIN)/larder-bench codec
	$(BIN)/larder-bench page

lint:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests bench Package.swift

# The whole suite under the address and the thread sanitizer, in build folders of their own.
sanitize: sanitize-address sanitize-thread

sanitize-%: deps
	$(SWIFT) test --sanitize=$* --scratch-path .build-$* --disable-xctest

build: deps
	$(BUILD)

deps:
	@pkg-config --exists lmdb liblz4 2>/dev/null || { \
	  echo "installing $(PACKAGES)"; \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq $(PACKAGES); }
	@command -v $(SWIFT) >/dev/null || { echo "Larder needs a Swift 6.2 toolchain or later: https://swift.org/install"; exit 1; }

clean:
	rm -rf .build .build-*
