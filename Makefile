# sluice: one binary, built from every .c, .cu and .cc file in the rooms; adding a file needs no change here.
#   make            the program              make demo   web pages in, a trained model and a report out
#   make test       all tests (5 minutes)    make help   every target
SHELL := /bin/bash
.DEFAULT_GOAL := all

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
PKGS := gumbo lmdb libzstd libcurl libisal zlib libbrotlidec uchardet fasttext openblas libxxhash
DEBS := build-essential pkg-config libgumbo-dev liblmdb-dev libzstd-dev libcurl4-openssl-dev libisal-dev \
        zlib1g-dev libbrotli-dev libuchardet-dev libfasttext-dev libopenblas-dev libxxhash-dev
DEMO_DEBS := nginx-light wget xz-utils zstd python3 ca-certificates

ifeq ($(CUDA),auto)
HAVE_CUDA := $(if $(NVCC),1,0)
else
HAVE_CUDA := $(CUDA)
endif
ifeq ($(MPI),auto)
HAVE_MPI := $(shell pkg-config --exists ompi-c 2>/dev/null && echo 1 || echo 0)
else
HAVE_MPI := $(MPI)
endif

# ---- flags ----
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Werror
WARNXX := -Wall -Wextra -Werror
OPT ?= -O2
SAN ?=
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
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
TEST_SRC := tests/harness.c $(foreach r,$(ROOMS),$(wildcard tests/test_$(r).c) $(wildcard tests/test_$(r)_*.c)) $(wildcard tests/emu/*.cc)
TEST_OBJ := $(TEST_SRC:%=$(BUILD)/%.o)

Q := $(if $(filter 1,$(V)),,@)
say = @printf '  %-5s %s\n' $(1) $(2)

.PHONY: all deps demo test check bench fuzz asan tsan gpu-test install uninstall clean dist help unit detect
all: detect sluice

detect:
	@bash .ci/detect "$(PKGS)" "$(DEBS)" "$(HAVE_CUDA)" "$(NVCC)" "$(HAVE_MPI)"

sluice: $(BUILD)/sluice
	$(Q)cp -f $(BUILD)/sluice sluice

$(BUILD)/sluice: $(OBJ) $(MAIN:%=$(BUILD)/%.o)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)

$(BUILD)/%.c.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) $(FLAGS_$(notdir $<)) -MMD -MP -c $< -o $@
$(BUILD)/%.cc.o: %.cc
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(ALL_CXXFLAGS) -MMD -MP -c $< -o $@
$(BUILD)/%.cu.o: %.cu
	@mkdir -p $(@D)
	$(call say,NVCC,$<)
	$(Q)$(NVCC) $(NVFLAGS) -MD -MF $(@:.o=.d) -c $< -o $@

# ---- unit tests: one binary, each test in its own process ----
$(BUILD)/unit: $(OBJ) $(TEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
unit: $(BUILD)/unit
	$(Q)$(BUILD)/unit $(TESTS)

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(MAIN:%=$(BUILD)/%.d)
