# bench.mk - the measuring program of tests/bench, built from the program's own objects:
#   make -f tests/bench/bench.mk BUILD=build build/bench
include Makefile
BENCH_OBJ := $(patsubst %,$(BUILD)/%.o,$(wildcard tests/bench/*.c))
$(BUILD)/bench: $(OBJ) $(BENCH_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
-include $(BENCH_OBJ:.o=.d)

# The same program with trees fitted without one fold of the pages (extract_bench.py), from FOLDS/fold/extract/.
FITTED := $(shell grep -l '"extract/[a-z_]*trees[a-z_]*.def"' extract/*.c)
FIT_NAMES := $(basename $(notdir $(FITTED)))
$(BUILD)/fold-%/bench: $(OBJ) $(BENCH_OBJ) $(FOLDS)/%/extract/trees.def
	@mkdir -p $(@D)
	$(Q)for f in $(FIT_NAMES); do $(CC) -I$(FOLDS)/$* $(ALL_CFLAGS) -c extract/$$f.c -o $(@D)/$$f.o || exit 1; done
	$(Q)$(CC) $(SAN) -pthread $(filter-out $(FIT_NAMES:%=$(BUILD)/extract/%.c.o) %.def,$^) $(FIT_NAMES:%=$(@D)/%.o) -o $@ $(LDFLAGS) $(LIBS)
