# sluice: one binary, built from every .c, .cu and .cc file in the rooms; adding a file needs no change here.
#   make            the program              make demo   web pages in, a trained model and a report out
#   make test       all tests (5 minutes)    make help   every target
SHELL := /bin/bash
.DEFAULT_GOAL := all

# As many jobs as cores; a -j on the command line has the last word.
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

PREFIX ?= /usr/local
BUILD ?= build
CUDA ?= auto
MPI ?= auto
V ?= 0
CC ?= gcc
CXX ?= g++
ifeq ($(origin CC),default)
CC := gcc
endif
NVCC ?= $(or $(shell command -v nvcc 2>/dev/null),$(wildcard /usr/local/cuda/bin/nvcc))

ROOMS ?= core crawl extract filter dedup classify tokenize store kernels model eval train report command

# ---- what is here ----
PKGS := gumbo lmdb libzstd libcurl libisal libdeflate zlib libbrotlidec uchardet fasttext libxxhash
DEBS := build-essential pkg-config libgumbo-dev liblmdb-dev libzstd-dev libcurl4-openssl-dev libisal-dev libdeflate-dev \
        zlib1g-dev libbrotli-dev libuchardet-dev libfasttext-dev libxxhash-dev
DEMO_DEBS := nginx-light xz-utils zstd python3 ca-certificates

ifeq ($(CUDA),auto)
HAVE_CUDA := $(if $(NVCC),1,0)
else
HAVE_CUDA := $(CUDA)
endif
# Nothing here speaks MPI yet (training runs in one process), so auto means 0 and 1 is refused.
ifeq ($(MPI),1)
$(error MPI=1: multi-process training is not in this version; build with MPI=auto or MPI=0)
endif
HAVE_MPI := 0

# ---- flags ----
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
WARNXX := -Wall -Wextra -Werror
OPT ?= -O2
SAN ?=
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# libcurl is loaded when it is needed (crawl/libcurl.c).
PKG_LIBS := $(shell pkg-config --libs $(filter-out libcurl,$(PKGS)) 2>/dev/null)
BASE := -I. -I$(BUILD) -D_GNU_SOURCE -DHAVE_CUDA=$(HAVE_CUDA) -DHAVE_MPI=$(HAVE_MPI) -g $(OPT) -fno-omit-frame-pointer $(SAN) $(PKG_CFLAGS)
ALL_CFLAGS := -std=c11 $(BASE) $(WARN) -pthread $(CFLAGS)
ALL_CXXFLAGS := -std=c++17 $(BASE) $(WARNXX) -pthread $(CXXFLAGS)
CUDA_HOME ?= $(patsubst %/bin/nvcc,%,$(NVCC))
GENCODE ?= -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a -gencode=arch=compute_90,code=compute_90
NVFLAGS := -O3 -std=c++17 -I. -DHAVE_CUDA=1 $(GENCODE) -Werror all-warnings -Xcompiler -Wall,-Wextra,-fPIC
LIBS := $(PKG_LIBS) -lstdc++ -lm -lpthread -ldl $(LDLIBS)
ifeq ($(HAVE_CUDA),1)
LIBS += -L$(CUDA_HOME)/lib64 -lcudart_static -lrt
endif

# ---- sources ----
C_SRC := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
CC_SRC := $(foreach r,$(ROOMS),$(wildcard $(r)/*.cc))
CU_SRC := $(if $(filter 1,$(HAVE_CUDA)),$(foreach r,$(ROOMS),$(wildcard $(r)/*.cu)))
OBJ := $(C_SRC:%=$(BUILD)/%.o) $(CC_SRC:%=$(BUILD)/%.o) $(CU_SRC:%=$(BUILD)/%.o)
MAIN := $(wildcard main.c)
TEST_SRC := tests/harness.c $(foreach r,$(ROOMS),$(wildcard tests/test_$(r).c) $(wildcard tests/test_$(r)_*.c)) $(if $(filter kernels,$(ROOMS)),$(wildcard tests/emu/*.cc))
TEST_OBJ := $(TEST_SRC:%=$(BUILD)/%.o)

Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-5s %s\n' $(1) $(2)

.PHONY: all deps demo test check bench bench-extract bench-tokenize bench-store fuzz asan tsan gpu-test install uninstall clean dist help unit detect
all: detect sluice

detect:
	@bash .ci/detect "$(PKGS)" "$(DEBS)" "$(HAVE_CUDA)" "$(NVCC)" "$(HAVE_MPI)"

sluice: $(BUILD)/sluice
	$(Q)cp -f $(BUILD)/sluice sluice

$(BUILD)/sluice: $(OBJ) $(MAIN:%=$(BUILD)/%.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)

# Changed flags (CUDA=0 after CUDA=1, say) rebuild everything: objects of two kinds never meet in one link.
$(BUILD)/flags: force
	@mkdir -p $(BUILD)
	@printf '%s\n' '$(CC) $(ALL_CFLAGS) | $(CXX) $(ALL_CXXFLAGS) | $(NVCC) $(NVFLAGS)' | cmp -s - $@ || \
	    printf '%s\n' '$(CC) $(ALL_CFLAGS) | $(CXX) $(ALL_CXXFLAGS) | $(NVCC) $(NVFLAGS)' > $@
.PHONY: force
$(OBJ) $(TEST_OBJ): | detect # what is missing is said once, before a compiler stumbles over it

$(BUILD)/%.c.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(FLAGS_$(notdir $<)) -MMD -MP -c $< -o $@
$(BUILD)/%.cc.o: %.cc $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/%.cu.o: %.cu $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVFLAGS) -MD -MF $(@:.o=.d) -c $< -o $@

# ---- unit tests: one binary, each test in its own process ----
$(BUILD)/unit: $(OBJ) $(TEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
$(BUILD)/unit: | $(BUILD)/hostile_server
$(BUILD)/hostile_server: tests/tools/hostile_server.c tests/tools/hostile_server.h $(BUILD)/flags
	$(call say,CC,$<)
	$(Q)$(CC) -std=c11 -I. -D_GNU_SOURCE -g -O1 $(WARN) $< -o $@
unit: $(BUILD)/unit
	$(Q)$(BUILD)/unit $(TESTS)

.SECONDARY:
-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(MAIN:%=$(BUILD)/%.d)

# ---- what people type ----
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
deps:
	@bash .ci/deps $(DEBS) $(DEMO_DEBS)

demo:
	+@bash recipes/demo.sh

test: deps
	@$(MAKE) --no-print-directory all $(BUILD)/unit $(FUZZ_NAMES:%=$(BUILD)/%-replay)
	@BUILD=$(BUILD) bash tests/run.sh

# The long tier: more kills, more seeds, the oracles of other programs, and everything under sanitizers.
check:
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory LONG=1 asan
	@$(MAKE) --no-print-directory tsan
	@bash tests/cli/kill.sh 200 7
	@bash tests/cli/kill.sh 200 8
	@bash tests/cli/soak.sh 2
	@bash tests/oracle/run.sh

asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-asan OPT=-O1 CUDA=0 SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" $(BUILD)-asan/unit $(BUILD)-asan/sluice
	@ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 LSAN_OPTIONS=suppressions=$(abspath tests/lsan.supp) UBSAN_OPTIONS=print_stacktrace=1 $(BUILD)-asan/unit
	@ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1 LSAN_OPTIONS=suppressions=$(abspath tests/lsan.supp) SLUICE=$(abspath $(BUILD)-asan/sluice) bash tests/cli/sanitized.sh $(if $(LONG),odd)
tsan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-tsan OPT=-O1 CUDA=0 SAN=-fsanitize=thread $(BUILD)-tsan/unit $(BUILD)-tsan/sluice
	@TSAN_OPTIONS="halt_on_error=1 suppressions=tests/tsan.supp" $(BUILD)-tsan/unit 'core_pool*' 'core_queue*' 'core_pipe*' 'core_log*' 'core_progress*' 'core_metrics*' '*thread*' 'command_views*' 'crawl_ahead*' crawl_fetch_stops train_run_stops_when_asked
	@TSAN_OPTIONS="halt_on_error=1 suppressions=$(abspath tests/tsan.supp)" SLUICE=$(abspath $(BUILD)-tsan/sluice) bash tests/cli/sanitized.sh

# ---- fuzzing: libFuzzer where clang is, and a replay of the corpus with any compiler ----
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
FUZZ_NAMES := $(FUZZ_SRC:tests/fuzz/%.c=%)
FUZZ_SECONDS ?= 60
CLANG := $(notdir $(firstword $(shell command -v clang clang-14)))
$(BUILD)/%-replay: $(OBJ) $(BUILD)/tests/fuzz/%.c.o $(BUILD)/tests/fuzz/replay.c.o
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
fuzz-replay:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-asan OPT=-O1 CUDA=0 SAN="-fsanitize=address,undefined -fno-sanitize-recover=undefined" $(FUZZ_NAMES:%=$(BUILD)-asan/%-replay)
	@for f in $(FUZZ_NAMES); do $(BUILD)-asan/$$f-replay tests/fuzz/corpus/$$f > $(BUILD)-asan/$$f.log 2>&1 || { tail -n 60 $(BUILD)-asan/$$f.log; exit 1; }; tail -n 1 $(BUILD)-asan/$$f.log; done
$(BUILD)/%-fuzz: $(OBJ) $(BUILD)/tests/fuzz/%.c.o
	$(call say,LINK,$@)
	$(Q)$(CXX) $(SAN) -fsanitize=fuzzer -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
# NULL + 0, which C2y defines and empty strings give here, is what clang (not gcc) would report: no pointer-overflow.
fuzz:
	@[ -n "$(CLANG)" ] || { echo "fuzz: clang with libclang-rt is missing: sudo apt-get install clang libclang-rt-14-dev"; exit 1; }
	@$(MAKE) --no-print-directory BUILD=$(BUILD)-fuzz CC=$(CLANG) CXX=$(CLANG:clang%=clang++%) WARN="-Wall -Wno-unknown-attributes" CUDA=0 OPT=-O1 SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize=pointer-overflow -fno-sanitize-recover=undefined" $(FUZZ_NAMES:%=$(BUILD)-fuzz/%-fuzz)
	@for f in $(FUZZ_NAMES); do mkdir -p $(BUILD)-fuzz/corpus/$$f; $(BUILD)-fuzz/$$f-fuzz -max_total_time=$(FUZZ_SECONDS) -timeout=5 -rss_limit_mb=1024 -close_fd_mask=3 -artifact_prefix=$(BUILD)-fuzz/$$f- -print_final_stats=1 $(BUILD)-fuzz/corpus/$$f tests/fuzz/corpus/$$f || exit 1; done

bench: all
	@bash tests/bench/run.sh
# Main text and archives beside other tools, from PyPI: the table of docs/SPEED.md (ARGS: see extract_bench.py).
bench-extract: all
	@BUILD=$(BUILD) bash tests/bench/extract.sh $(ARGS)
# Encoding and training beside other tokenizers, from PyPI (ARGS: see tokenize_bench.py).
bench-tokenize: all
	@BUILD=$(BUILD) bash tests/bench/tokenize.sh $(ARGS)
# Building and reading the store beside a flat map and the loaders of others, from PyPI (ARGS: see store_bench.py).
bench-store: all
	@BUILD=$(BUILD) bash tests/bench/store.sh $(ARGS)

# ---- a GPU machine with nothing but the CUDA toolkit and libc ----
# What tests/gpu/train_gpu.c trains with: all of it free of LMDB, xxHash and the other libraries.
GPU_EXTRA ?= model/llama.c model/gpt2.c model/params.c model/cache.c train/trainer.c train/schedule.c train/phases.c \
             train/batches.c train/pretrain.c \
             core/json.c core/pool.c core/log.c
GPU_SRC := $(wildcard kernels/*.c) $(wildcard tests/gpu/*.c) core/err.c core/arena.c core/str.c $(GPU_EXTRA)
GPU_CU := $(wildcard kernels/*.cu)
GPU_OBJ := $(GPU_SRC:%=$(BUILD)-gpu/%.o) $(GPU_CU:%=$(BUILD)-gpu/%.o)
GPU_CFLAGS := -std=c11 -I. -D_GNU_SOURCE -DHAVE_CUDA=1 -DHAVE_MPI=0 -g -O2 $(WARN) -pthread
$(BUILD)-gpu/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(GPU_CFLAGS) -MMD -MP -c $< -o $@
$(BUILD)-gpu/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVFLAGS) -MD -MF $(@:.o=.d) -c $< -o $@
-include $(GPU_OBJ:.o=.d)
$(BUILD)-gpu/gpu-test: $(GPU_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) -pthread $^ -o $@ -L$(CUDA_HOME)/lib64 -lcudart_static -lrt -ldl -lstdc++ -lm
gpu-build: $(BUILD)-gpu/gpu-test
gpu-test: $(BUILD)-gpu/gpu-test
	@$(BUILD)-gpu/gpu-test || [ $$? = 77 ] # 77: no GPU here, as it said

# What `sluice completion` prints, and where under share/ it belongs.
SHELL_FILES := bash:bash-completion/completions/sluice zsh:zsh/site-functions/_sluice fish:fish/vendor_completions.d/sluice.fish man:man/man1/sluice.1
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/sluice/recipes $(DESTDIR)$(PREFIX)/share/doc/sluice
	install -m 755 sluice $(DESTDIR)$(PREFIX)/bin/sluice
	install -m 644 recipes/*.toml $(DESTDIR)$(PREFIX)/share/sluice/recipes/
	install -m 644 README.md LICENSE docs/*.md $(DESTDIR)$(PREFIX)/share/doc/sluice/
	$(Q)for f in $(SHELL_FILES); do install -d $(DESTDIR)$(PREFIX)/share/$$(dirname $${f#*:}) && \
	    ./sluice completion $${f%%:*} > $(DESTDIR)$(PREFIX)/share/$${f#*:} || exit 1; done
uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/sluice $(foreach f,$(SHELL_FILES),$(DESTDIR)$(PREFIX)/share/$(lastword $(subst :, ,$(f))))
	rm -rf $(DESTDIR)$(PREFIX)/share/sluice $(DESTDIR)$(PREFIX)/share/doc/sluice

clean:
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan $(BUILD)-fuzz $(BUILD)-gpu sluice

SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
dist:
	git ls-files -z | tar --null -T - --sort=name --mtime=@$(SOURCE_DATE_EPOCH) --owner=0 --group=0 --numeric-owner \
	    --transform='s|^|sluice-0.1.0/|' -czf sluice-0.1.0.tar.gz
	sha256sum sluice-0.1.0.tar.gz

help:
	@echo 'make            build ./sluice (CUDA=auto|0|1, MPI=auto|0|1, V=1 shows commands)'
	@echo 'make deps       install what is missing (Debian packages) and fetch lid.176.ftz'
	@echo 'make demo       a small real web, to a trained model and a report, in minutes'
	@echo 'make test       all tests (under 5 minutes); make check adds sanitizers, more kills, oracles'
	@echo 'make asan tsan  unit tests under sanitizers        make fuzz        fuzz every parser (FUZZ_SECONDS=60)'
	@echo 'make bench      figures for docs/SPEED.md           make gpu-test    op cases and 50 training steps on a GPU'
	@echo 'make bench-extract   extraction and WARC beside the tools of others, in one run'
	@echo 'make bench-tokenize  encoding and training beside the tokenizers of others, in one run'
	@echo 'make bench-store     building and reading the token store beside the loaders of others, in one run'
	@echo 'make install uninstall clean dist   (PREFIX=$(PREFIX), DESTDIR=)'
.PHONY: fuzz-replay gpu-build
