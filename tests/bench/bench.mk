# bench.mk - the measuring program of tests/bench, built from the program's own objects:
#   make -f tests/bench/bench.mk BUILD=build build/bench
include Makefile
BENCH_OBJ := $(patsubst %,$(BUILD)/%.o,$(wildcard tests/bench/*.c))
$(BUILD)/bench: $(OBJ) $(BENCH_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(SAN) -pthread $^ -o $@ $(LDFLAGS) $(LIBS)
-include $(BENCH_OBJ:.o=.d)
