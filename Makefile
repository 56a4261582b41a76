# All generated files are in .venv, build and dist. Needs python3 (3.10 or newer), a C compiler and make.

PYTHON ?= python3
ARGS ?=
BUILD ?= build

BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
FLAGS := $(shell $(PYTHON) pynet/_build.py)
WARNINGS := -Wall -Wextra -Wshadow -Wconversion
EXTRA ?=
PREFIX ?= /usr/local
DESTDIR ?=
# The command that starts the C test programs: empty, valgrind, qemu.
RUN ?=

SOURCES := $(wildcard csrc/*/*.c)
LEVELS := $(shell $(PYTHON) pynet/_build.py $(SOURCES))
OBJECTS := $(SOURCES:csrc/%.c=$(BUILD)/obj/%.o)
C_FILES := $(wildcard csrc/*.h csrc/*/*.[ch] csrc/*/*.inc tests/c/*.[ch] tests/c/*/*.[ch] pynet/formats/*.c pynet/play/*.c tests/arm/*.c)
# Tests of what a build leaves out are left out, too.
LEFT_OUT := $(if $(findstring PN_NO_FILES,$(EXTRA)),tests/c/file/%) $(if $(findstring PN_NO_THREADS,$(EXTRA)),tests/c/base/test_threads.c tests/c/net/test_threads.c)
C_TESTS := $(patsubst tests/c/%.c,$(BUILD)/c/%,$(filter-out $(LEFT_OUT),$(wildcard tests/c/*/test_*.c)))
EXAMPLES := $(patsubst examples/%,$(BUILD)/example/%,$(basename $(wildcard examples/*.c examples/*.cpp)))
ONE_FILE := $(addprefix build/amalgamation/,cc-O1 cc-O2 cc-O3 $(if $(shell command -v clang),clang-O2))
FUZZERS := $(patsubst tests/c/%.c,$(BUILD)/fuzzer/%,$(wildcard tests/c/*/fuzz_*.c))
FUZZ_SECONDS ?= 60

# Stamp files, each made after those above it: a venv that can compile, the compiled core in pynet/, a venv that can train,
# a venv that can test.
VENV := .venv/.venv
CORE := build/.core
RUNTIME := .venv/.runtime
DEV := .venv/.dev
BENCH := build/bench/loop build/bench/peak

ifeq ($(FLAGS),)
$(error $(PYTHON) pynet/_build.py gave no compiler flags; PYTHON=... names a Python 3.10 or newer)
endif
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2) --no-print-directory
else
MAKEFLAGS += --silent
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train test test-peers test-browser wasm test-wasm play-model bench bench-peers lint format docs lib amalgamation test-amalgamation install uninstall examples wheel sdist coverage sanitize campaign neon arm other-cpus cortex-m clang switches fuzz clean \
    c-tests fuzzers werror

help: ## list the targets
	@echo "make TARGET, one of:"
	@sed -n 's/^\([a-z-]*\):.* ## /  \1 /p' $(MAKEFILE_LIST) | awk '{ name = $$1; $$1 = ""; printf "  %-17s%s\n", name, $$0 }'

train: $(RUNTIME) $(CORE) ## train a digit classifier; options as in ARGS="--epochs 20 --hidden 256"
	@$(BIN)/python -m pynet.train $(ARGS)

test: $(DEV) $(CORE) lib $(C_TESTS) ## run the tests on all cores; pytest's options in ARGS; those on MNIST need PYNET_DATA
	@$(BIN)/pytest --numprocesses auto --dist loadfile $(ARGS)

test-peers: build/.peers $(CORE) ## compare with PyTorch and others, run the estimators of scikit-learn; pytest's options in ARGS
	@build/peers-venv/bin/python -m pytest tests/peers tests/estimators $(ARGS)

wasm: $(VENV) ## compile the core for browsers: pynet/play/pynet-relaxed.wasm and pynet-simd.wasm
	@$(BIN)/python csrc/wasm.py

test-wasm: .venv/.wasm $(CORE) wasm ## compare the core for browsers, run by wasmtime, with Python; pytest's options in ARGS
	@$(BIN)/pytest tests/wasm $(ARGS)

PLAY_NET := input(1,28,28) conv(16,5) relu maxpool(2) conv(24,5) relu maxpool(2) dense(64) batchnorm relu dropout(0.2) dense(10) softmax

play-model: $(RUNTIME) $(CORE) ## train the digit classifier of `pynet play` on MNIST, from $PYNET_DATA: pynet/play/digits.safetensors
	@$(BIN)/python -m pynet.train --dataset mnist --net "$(PLAY_NET)" --epochs 15 --batch-size 100 --optimizer adam \
	    --lr 0.004 --schedule onecycle --augment --seed 0 --save pynet/play/digits.safetensors

test-browser: $(DEV) $(CORE) wasm ## use the page of `pynet play` in Chromium; pytest's options in ARGS
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then \
	    $(BIN)/python -m pytest tests/browser $(ARGS); \
	else echo "test-browser: NOT run, it needs chromium and chromedriver (Debian: chromium chromium-driver)"; fi

lint: $(DEV) $(CORE) werror ## check style, types, formatting and compiler warnings
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)

format: $(DEV) ## rewrite Python and C files in the house format
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

docs: $(DEV) $(CORE) ## run the commands in the documents and write what they print; list the public names in docs/reference.md
	$(BIN)/python tests/test_docs.py README.md docs/tutorial.md docs/how-to.md docs/models.md docs/scaling.md docs/reference.md

amalgamation: $(BUILD)/pynet.c ## write build/pynet.c, the whole core in one file, beside build/pynet.h

test-amalgamation: ## compile it with -O1, -O2, -O3 and with clang; compare trained weights with those of the library
	@$(MAKE) $(ONE_FILE)
	@grep "^    cc .*build/pynet.c" docs/embedding.md | sed 's,-o xor,-o build/amalgamation/xor,; s,\./xor,build/amalgamation/xor,' | sh -e
	@for program in $(ONE_FILE); do echo $$program; $$program || exit 1; done

lib: $(BUILD)/libpynet.a $(BUILD)/libpynet.so ## build build/libpynet.a and build/libpynet.so for C programs

examples: $(EXAMPLES) ## compile the C and C++ programs of examples/ against build/libpynet.a, to build/example/

bench: .venv/.bench $(CORE) $(BENCH) ## measure the speed against NumPy: build/bench/numpy.md; PUBLISH=1: in bench/results
	@$(BIN)/python -m bench $(if $(PUBLISH),--out bench/results) $(ARGS)

bench-peers: build/.peers $(CORE) $(BENCH) | $(filter bench,$(MAKECMDGOALS)) ## the same against PyTorch, JAX, scikit-learn and Keras, too
	@build/peers-venv/bin/python -m bench --peers $(if $(PUBLISH),--out bench/results) $(ARGS)

sdist: $(DEV) ## source distribution in dist/
	$(BIN)/pyproject-build --no-isolation --sdist

wheel: $(DEV) ## source distribution, and from it the wheel, in dist/
	rm -rf dist
	$(BIN)/pyproject-build --no-isolation

coverage: $(DEV) $(CORE) lib $(C_TESTS) ## line coverage of Python, and of C by its test programs (each at least 95 %)
	rm -rf build/coverage .coverage .coverage.*
	$(BIN)/coverage run $(BIN)/pytest --numprocesses auto --dist loadfile $(ARGS)
	$(BIN)/coverage combine --quiet
	@$(MAKE) c-tests BUILD=build/coverage EXTRA="-g --coverage -fprofile-update=atomic"
	@$(BIN)/coverage report --fail-under=95; python=$$?; \
	$(BIN)/gcovr --root . --filter csrc/ --merge-mode-functions=separate --gcov-suspicious-hits-threshold 0 \
	    --fail-under-line 95 build/coverage && \
	exit $$python

SANITIZE := -O2 -g -fno-sanitize-recover=all
ASAN := $(SANITIZE) -fsanitize=address -fsanitize=undefined -DNO_MASKED_MOVES
# The test of a text of 210,000 words takes a second, but ten minutes under ASan, whose own memory test_file_memory.py
# would measure.
PYTEST_ASAN ?= $(filter-out %/test_file_memory.py,$(wildcard tests/core/test_kernel*.py tests/core/test_network*.py \
    tests/core/test_file*.py)) tests/model tests/formats -k "not endless"

sanitize: $(DEV) ## C tests under ASan + UBSan, TSan and valgrind; Python kernel tests under ASan + UBSan
	@$(MAKE) c-tests BUILD=build/asan EXTRA="$(ASAN)"
	@$(MAKE) c-tests BUILD=build/tsan EXTRA="$(SANITIZE) -fsanitize=thread" RUN="setarch -R"
	@if command -v valgrind >/dev/null; then \
	    $(MAKE) c-tests RUN="valgrind --quiet --error-exitcode=1 --leak-check=full"; \
	else echo "sanitize: no valgrind here, its part was NOT run"; fi
	@$(MAKE) build/asan/.core
	ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD=$$($(CC) -print-file-name=libasan.so) \
	    PYTHONSAFEPATH=1 PYTHONPATH=build/asan/lib $(BIN)/python $(BIN)/pytest $(PYTEST_ASAN)

MINUTES ?= 15
REFUSALS := build/asan/campaign/allocations

campaign: $(DEV) $(CORE) $(REFUSALS) build/campaign/io_faults.so ## try to break it for MINUTES=15: memory, disks, kills, files, networks
	@$(BIN)/python tests/campaign --minutes $(MINUTES) $(ARGS)

# It links the objects of the package, which are already compiled with sanitizers.
$(REFUSALS): tests/c/campaign/allocations.c tests/c/campaign/scenario.h build/asan/.core
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(ASAN) $(WARNINGS) -Icsrc -o $@ $< $(SOURCES:%.c=build/asan/temp/%.o) -lm -pthread

build/campaign/%.so: tests/c/campaign/%.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARNINGS) -shared -fPIC -o $@ $< -ldl

# The package again, its core under ASan + UBSan.
build/asan/.core: $(wildcard csrc/* csrc/*/*) $(wildcard pynet/*.py pynet/*/*.py) pyproject.toml | $(DEV)
	rm -rf build/asan/lib
	PYNET_CFLAGS="$(ASAN)" $(BIN)/python setup.py -q build --build-base build/asan --build-lib build/asan/lib --build-temp build/asan/temp
	@touch $@

AARCH64 := aarch64-linux-gnu

# test_reserve counts allocations, which are the same on each machine; emulated it would take eight minutes.
neon: ## cross-compile for aarch64 and run the C tests under qemu
	@if command -v $(AARCH64)-gcc >/dev/null && command -v qemu-aarch64 >/dev/null; then \
	    $(MAKE) c-tests CC=$(AARCH64)-gcc BUILD=build/neon EXTRA=-Werror RUN="qemu-aarch64 -L /usr/$(AARCH64)" \
	        C_TESTS="$(filter-out %/test_reserve,$(C_TESTS:$(BUILD)/%=build/neon/%))" || exit 1; \
	    fused=$$($(AARCH64)-objdump -d build/neon/obj/kernels/neon.o | grep -cw fmla); \
	    echo "neon: $$fused fused multiply-adds in kernels/neon.o" && test $$fused -gt 100; \
	else echo "neon: NOT run, it needs $(AARCH64)-gcc and qemu-aarch64 (Debian: gcc-$(AARCH64) libc6-dev-arm64-cross qemu-user)"; fi

arm: $(DEV) $(CORE) ## compile exported C files for Cortex-M and run them under qemu
	@if command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null; then $(BIN)/pytest tests/arm $(ARGS); \
	else echo "arm: NOT run, it needs arm-none-eabi-gcc and qemu-system-arm (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)"; fi

ARM32 := arm-linux-gnueabihf

other-cpus: ## train under qemu as 32-bit ARM and as a CPU without AVX2; compare SHA-256 of the weights
	@if command -v $(ARM32)-gcc >/dev/null && command -v qemu-arm >/dev/null; then \
	    $(MAKE) c-tests CC=$(ARM32)-gcc BUILD=build/arm32 EXTRA=-Werror RUN="qemu-arm -L /usr/$(ARM32)" C_TESTS=build/arm32/c/net/test_golden; \
	else echo "other-cpus: NOT run for ARM, it needs $(ARM32)-gcc and qemu-arm (Debian: gcc-$(ARM32) libc6-dev-armhf-cross qemu-user)"; fi
	@if command -v qemu-x86_64 >/dev/null && [ "$$(uname -m)" = x86_64 ]; then \
	    $(MAKE) c-tests RUN="qemu-x86_64 -cpu Nehalem" C_TESTS=build/c/net/test_golden; \
	else echo "other-cpus: NOT run without AVX2, it needs an x86-64 and qemu-x86_64 (Debian: qemu-user)"; fi

CORTEX_M4 := -mcpu=cortex-m4 -mthumb -mfpu=fpv4-sp-d16 -mfloat-abi=hard
BARE := -nostartfiles --specs=nosys.specs -DRAM_END=0x20400000 -Wl,--section-start=.vectors=0 -Wl,-Ttext=0x40 -Wl,-Tdata=0x20000000

cortex-m: ## train examples/xor.c on a Cortex-M4 without threads and files, under qemu
	@if command -v arm-none-eabi-gcc >/dev/null && command -v qemu-system-arm >/dev/null; then \
	    $(MAKE) build/cortex-m/xor.elf && arm-none-eabi-size build/cortex-m/xor.elf && \
	    timeout 60 qemu-system-arm -machine mps2-an386 -semihosting -display none -kernel build/cortex-m/xor.elf 2>&1 | \
	        tee build/cortex-m/xor.txt && grep -q "^1 xor 1: 0" build/cortex-m/xor.txt; \
	else echo "cortex-m: NOT run, it needs arm-none-eabi-gcc and qemu-system-arm (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)"; fi

build/cortex-m/xor.elf: examples/xor.c tests/arm/start.c $(BUILD)/pynet.c
	@mkdir -p $(@D)
	arm-none-eabi-gcc -std=c11 -Os $(CORTEX_M4) $(BARE) -DPN_NO_THREADS -DPN_NO_FILES -DPN_NO_ENV -I$(BUILD) -o $@ $^ -lm 2>$@.log || \
	    { cat $@.log; exit 1; }

clang: ## compile the core with clang, warnings are errors; the C tests, which compare SHA-256 of trained weights
	@if command -v clang >/dev/null; then $(MAKE) lib c-tests CC=clang BUILD=build/clang EXTRA=-Werror; \
	else echo "clang: NOT run, there is no clang here"; fi

switches: ## build without threads, files or environment variables, in all eight combinations, and run the C tests on each
	@for threads in "" -DPN_NO_THREADS; do for files in "" -DPN_NO_FILES; do for env in "" -DPN_NO_ENV; do \
	    echo "switches: $$threads $$files $$env" && \
	    $(MAKE) c-tests BUILD=build/switches/x$$threads$$files$$env EXTRA="-Werror $$threads $$files $$env" || exit 1; \
	done; done; done

fuzz: ## throw damaged files and texts of networks at the core, FUZZ_SECONDS=60 each; needs clang and its libFuzzer
	@$(MAKE) fuzzers CC=clang BUILD=build/fuzz EXTRA="$(ASAN) -fsanitize=fuzzer-no-link"

clean: ## remove all that make made, .venv too
	rm -rf .venv build dist *.egg-info pynet/*.so pynet/play/*.wasm .coverage .coverage.* .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# ---- the venv ----

$(VENV):
	@echo "making a virtual environment in .venv, with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@echo "installing what the build needs: setuptools, cffi"
	@$(PIP) install --upgrade setuptools cffi
	@touch $@

# setup.py prints how many files it compiles.
$(CORE): $(VENV) $(wildcard csrc/* csrc/*/*) setup.py pyproject.toml pynet/_build.py
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(RUNTIME): pyproject.toml setup.py | $(CORE)
	@echo "installing pynet into .venv, and what it needs: NumPy, Matplotlib, ..."
	@$(PIP) install --no-build-isolation --editable ".[plot]"
	@touch $@

$(DEV): $(RUNTIME)
	@echo "installing what the tests and checks need: pytest, mypy, ..."
	@$(PIP) install --no-build-isolation --editable ".[dev]"
	@touch $@

.venv/.wasm: $(DEV)
	@$(PIP) install wasmtime
	@touch $@

.venv/.bench: $(RUNTIME)
	@$(PIP) install --no-build-isolation --editable ".[bench]"
	@touch $@

# ---- the C library ----

$(BUILD)/obj/%.o: csrc/%.c pynet/_build.py pyproject.toml
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(patsubst $<=%,%,$(filter $<=%,$(LEVELS))) -Icsrc $(WARNINGS) $(EXTRA) -fPIC -MMD -MP -c -o $@ $<

-include $(OBJECTS:.o=.d)

# One object with local private names, which cannot clash with names of the program.
$(BUILD)/libpynet.a: $(OBJECTS)
	$(CC) -r -nostdlib -o $(BUILD)/libpynet.o $^
	objcopy --localize-hidden --strip-debug $(BUILD)/libpynet.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/libpynet.o

$(BUILD)/pynet.c: csrc/amalgamate.py csrc/pynet.h $(wildcard csrc/*/*) pyproject.toml
	@mkdir -p $(@D)
	cp csrc/pynet.h $(@D)
	$(PYTHON) csrc/amalgamate.py $@

# cc-O1.o: compiled by cc with -O1. It shows only the functions of pynet.h.
build/amalgamation/%.o: $(BUILD)/pynet.c
	@mkdir -p $(@D)
	$(subst -, -,$*) -std=c11 -Wall -Wextra -Wpedantic -Werror -c -o $@ $<
	! nm --extern-only --defined-only $@ | grep -v " T pn_"

build/amalgamation/%: tests/c/net/test_golden.c build/amalgamation/%.o
	$(CC) -std=gnu11 -O2 -I$(BUILD) -Itests/c -o $@ $^ -lm -pthread

# Programs look for the name with the number of the interface. Code and constants share pages: 4 kB less.
$(BUILD)/libpynet.so: $(OBJECTS)
	$(CC) -shared -s -Wl,-soname,libpynet.so.0 -Wl,--no-undefined -Wl,-z,noseparate-code -pthread $(EXTRA) -o $@.0 $^ -lm
	ln -sf libpynet.so.0 $@

# The path may have blanks.
INTO = $(DESTDIR)$(PREFIX)
VERSION := $(shell sed -n 's/^version = "\(.*\)"$$/\1/p' pyproject.toml)
SET_VERSION := sed 's/@VERSION@/$(VERSION)/'

install: lib ## install header, libraries and their descriptions for pkg-config and CMake; PREFIX=/usr/local, DESTDIR=
	@install -d "$(INTO)/include" "$(INTO)/lib/pkgconfig" "$(INTO)/lib/cmake/pynet"
	@install -m 644 csrc/pynet.h "$(INTO)/include"
	@install -m 644 $(BUILD)/libpynet.a $(BUILD)/libpynet.so.0 "$(INTO)/lib"
	@ln -sf libpynet.so.0 "$(INTO)/lib/libpynet.so"
	@$(SET_VERSION) csrc/pynet.pc >"$(INTO)/lib/pkgconfig/pynet.pc"
	@install -m 644 csrc/pynetConfig.cmake "$(INTO)/lib/cmake/pynet"
	@$(SET_VERSION) csrc/pynetConfigVersion.cmake >"$(INTO)/lib/cmake/pynet/pynetConfigVersion.cmake"
	@echo "installed pynet $(VERSION) in $(INTO)"

uninstall: ## remove what make install installed, with the same PREFIX and DESTDIR
	@rm -f "$(INTO)/include/pynet.h" "$(INTO)/lib/libpynet.a" "$(INTO)/lib/libpynet.so" "$(INTO)/lib/libpynet.so.0" \
	    "$(INTO)/lib/pkgconfig/pynet.pc"
	@rm -rf "$(INTO)/lib/cmake/pynet"

$(BUILD)/example/%: examples/%.c $(BUILD)/libpynet.a
	@mkdir -p $(@D)
	$(CC) -std=c11 -O2 $(WARNINGS) -Icsrc -o $@ $^ -lm -pthread

$(BUILD)/example/%: examples/%.cpp $(BUILD)/libpynet.a
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 $(WARNINGS) -Icsrc -o $@ $^ -lm -pthread

build/bench/loop: bench/c/loop.c $(BUILD)/libpynet.a
	@mkdir -p $(@D)
	$(CC) -O2 $(WARNINGS) -Icsrc -o $@ $< $(BUILD)/libpynet.a -lm -pthread

# The widest vectors of this CPU, in this program alone: the core chooses when it runs.
WIDEST = $(shell grep -qm1 avx512f /proc/cpuinfo && echo -mavx512f -mfma || { grep -qm1 avx2 /proc/cpuinfo && echo -mavx2 -mfma; })

build/bench/peak: bench/c/peak.c
	@mkdir -p $(@D)
	$(CC) -O3 $(WIDEST) -ffp-contract=fast $(WARNINGS) -o $@ $< -pthread

build/.peers: bench/peers/requirements.txt
	@test -x build/peers-venv/bin/python || $(PYTHON) -m venv build/peers-venv
	@build/peers-venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(BUILD)/c/%: tests/c/%.c tests/c/testing.h $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARNINGS) $(EXTRA) -Icsrc -Itests/c -o $@ $< $(OBJECTS) -lm -pthread

# Each tests/c/*/test_*.c is a program without arguments that exits with status 0 if all tests pass.
c-tests: $(OBJECTS) $(C_TESTS)
	@test -n "$(C_TESTS)" || { echo "c-tests: there is no tests/c/test_*.c to run" >&2; exit 1; }
	@for program in $(C_TESTS); do echo "$(RUN) $$program"; $(RUN) $$program || exit 1; done

$(BUILD)/fuzzer/%: tests/c/%.c $(OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(EXTRA) -fsanitize=fuzzer -Icsrc -o $@ $< $(OBJECTS) -lm

fuzzers: $(FUZZERS)
	@for program in $^; do mkdir -p $$program.corpus && $$program -max_total_time=$(FUZZ_SECONDS) \
	    -timeout=10 -dict=tests/c/file/fuzz.dict -verbosity=0 -print_final_stats=1 -artifact_prefix=$$program. $$program.corpus || exit 1; done

werror:
	@$(MAKE) $(SOURCES:csrc/%.c=build/werror/obj/%.o) BUILD=build/werror EXTRA=-Werror
	$(CC) $(FLAGS) $(WARNINGS) -Werror -Icsrc -fsyntax-only $(wildcard tests/c/*/fuzz_*.c tests/c/campaign/*.c)
