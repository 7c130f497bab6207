/* cuda_cpu - fibers, barriers and the walk over a grid behind cuda_cpu.h. */
#include "tests/emu/cuda_cpu.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

namespace emu {
enum { STACK_BYTES = 256 << 10, WARP_LANES = 32, THREADS_MAX = 1024, GRID_YZ_MAX = 65535 };
constexpr size_t SHARED_MAX = 99 << 10; /* of one block on sm_86 and sm_89, the least since sm_80 */

struct barrier {
    unsigned arrived = 0, live = 0;
    uint64_t passed = 0;
    void release()
    {
        if (live && arrived == live) {
            arrived = 0;
            passed++;
        }
    }
};
struct fiber {
    void *stack_pointer;
    ucontext_t context;
    dim3 thread;
    unsigned index;
    bool done;
    struct barrier *waits; /* until its passed differs from `seen` */
    uint64_t seen;
    uint32_t word;
};

dim3 thread, block, block_size, grid_size;
enum order order;
static std::vector<fiber> fibers;
static std::vector<barrier> warps;
static barrier whole;
static fiber *current;
static char *stacks;
static void *scheduler_pointer;
static const std::function<void()> *body;
alignas(64) static unsigned char shared_memory[SHARED_MAX];

void *dynamic_shared() { return shared_memory; }

/* All __shared__ variables of all kernels lie in one section, whose ends the linker names. */
extern "C" unsigned char __start_emu_shared[] __attribute__((weak));
extern "C" unsigned char __stop_emu_shared[] __attribute__((weak));

/* emu_switch saves the callee-saved registers on the running stack and takes up the other one: 14
 * instructions instead of swapcontext's two system calls. */
#if defined(__x86_64__)
extern "C" void emu_switch(void **save, void *load);
asm(".text\n.globl emu_switch\n.type emu_switch,@function\nemu_switch:\n"
    " push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    " mov %rsp,(%rdi)\n mov %rsi,%rsp\n"
    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n ret\n"
    ".size emu_switch,.-emu_switch\n");
static void enter(fiber *f) { emu_switch(&scheduler_pointer, f->stack_pointer); }
static void leave(fiber *f) { emu_switch(&f->stack_pointer, scheduler_pointer); }
#else
static ucontext_t scheduler_context;
static void enter(fiber *f) { swapcontext(&scheduler_context, &f->context); }
static void leave(fiber *f) { swapcontext(&f->context, &scheduler_context); }
#endif

/* A thread that has ended is no longer waited for, as on a GPU. */
static void fiber_main()
{
    fiber *self = current;
    (*body)();
    self->done = true;
    whole.live--;
    whole.release();
    barrier *warp = &warps[self->index / WARP_LANES];
    warp->live--;
    warp->release();
    leave(self);
    abort();
}

static void wait(barrier *b)
{
    fiber *self = current;
    self->waits = b;
    self->seen = b->passed;
    b->arrived++;
    b->release();
    leave(self);
}

void block_barrier() { wait(&whole); }
void warp_barrier() { wait(&warps[current->index / WARP_LANES]); }

uint32_t warp_exchange(uint32_t mine, unsigned from_lane)
{
    fiber *self = current;
    self->word = mine;
    warp_barrier();
    uint32_t other = fibers[self->index / WARP_LANES * WARP_LANES + from_lane].word;
    warp_barrier(); /* nobody may write a new word before all have read */
    return other;
}

uint32_t warp_ballot(bool mine)
{
    fiber *self = current;
    self->word = mine;
    warp_barrier();
    uint32_t all = 0;
    unsigned first = self->index / WARP_LANES * WARP_LANES;
    for (unsigned lane = 0; lane < WARP_LANES && first + lane < fibers.size(); lane++)
        all |= fibers[first + lane].word << lane;
    warp_barrier();
    return all;
}

static void fiber_start(fiber *f, unsigned index)
{
    char *stack = stacks + (size_t)index * STACK_BYTES;
    f->index = index;
    f->done = false;
    f->waits = nullptr;
    f->word = 0;
    f->thread = dim3(index % block_size.x, index / block_size.x % block_size.y,
                     index / block_size.x / block_size.y);
#if defined(__x86_64__)
    void **top = (void **)(void *)(stack + STACK_BYTES);
    *--top = nullptr;
    *--top = (void *)fiber_main;
    for (int saved = 0; saved < 6; saved++)
        *--top = nullptr;
    f->stack_pointer = top;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, fiber_main, 0);
#endif
}

/* Lets the threads of a warp go on, each to its next barrier; false when none could. */
static bool run_warp(unsigned warp, unsigned threads, unsigned *left)
{
    bool moved = false;
    unsigned first = warp * WARP_LANES, lanes = threads - first;
    if (lanes > WARP_LANES)
        lanes = WARP_LANES;
    for (unsigned k = 0; k < lanes; k++) {
        fiber *f = &fibers[first + (order == LAST_AHEAD ? lanes - 1 - k : k)];
        if (f->done || (f->waits && f->waits->passed == f->seen))
            continue;
        f->waits = nullptr;
        current = f;
        thread = f->thread;
        enter(f);
        *left -= f->done;
        moved = true;
    }
    return moved;
}

static void run_block(unsigned threads)
{
    unsigned warp_count = (threads + WARP_LANES - 1) / WARP_LANES;
    whole = barrier();
    whole.live = threads;
    warps.assign(warp_count, barrier());
    for (unsigned k = 0; k < threads; k++) {
        fiber_start(&fibers[k], k);
        warps[k / WARP_LANES].live++;
    }
    for (unsigned left = threads; left > 0;) {
        bool moved = false;
        for (unsigned k = 0; k < warp_count; k++) {
            unsigned warp = order == LAST_AHEAD ? warp_count - 1 - k : k;
            bool warp_moved = run_warp(warp, threads, &left);
            moved |= warp_moved;
            while (order != TOGETHER && warp_moved)
                warp_moved = run_warp(warp, threads, &left);
        }
        if (!moved) {
            fprintf(stderr,
                    "emulation: block (%u, %u, %u): %u threads wait at barriers that the others "
                    "never reach\n",
                    block.x, block.y, block.z, left);
            abort();
        }
    }
}

/* NaN, and indexes far out of range: shared memory must be written before it is read. */
static void shared_poison(size_t dynamic_bytes)
{
    memset(shared_memory, 0xff, dynamic_bytes);
    if (__start_emu_shared)
        memset(__start_emu_shared, 0xff, (size_t)(__stop_emu_shared - __start_emu_shared));
}

const char *run(dim3 grid, dim3 size, size_t shared_bytes, const std::function<void()> &kernel)
{
    unsigned threads = size.x * size.y * size.z;
    if (threads == 0 || threads > THREADS_MAX)
        return "a block has 1 to 1024 threads";
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > GRID_YZ_MAX ||
        grid.z > GRID_YZ_MAX)
        return "the grid is empty or too large";
    if (shared_bytes > SHARED_MAX)
        return "more shared memory than a block may have";
    if (!stacks) {
        stacks = (char *)mmap(nullptr, (size_t)THREADS_MAX * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED)
            abort();
    }
    fibers.resize(threads);
    body = &kernel;
    block_size = size;
    grid_size = grid;
    for (unsigned z = 0; z < grid.z; z++) {
        for (unsigned y = 0; y < grid.y; y++) {
            for (unsigned x = 0; x < grid.x; x++) {
                block = dim3(x, y, z);
                shared_poison(shared_bytes);
                run_block(threads);
            }
        }
    }
    return nullptr;
}
} // namespace emu

extern "C" void emu_order(int order) { emu::order = (enum emu::order)order; }
