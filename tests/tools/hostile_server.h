/* hostile_server - what a test and the server share: counters in a file that both map. */
#ifndef SLUICE_TESTS_TOOLS_HOSTILE_SERVER_H
#define SLUICE_TESTS_TOOLS_HOSTILE_SERVER_H
#include <stdatomic.h>
#include <stdint.h>

enum { HOSTILE_SLOTS = 1 << 14 };
struct hostile_counts {
    atomic_int port;                /* set once it listens */
    atomic_int hits[HOSTILE_SLOTS]; /* requests, by hostile_slot of their path */
    atomic_int requests;            /* of all paths */
    atomic_int running, most;       /* connections at a time */
    atomic_int resumed;             /* requests with a Range */
};
static inline unsigned hostile_slot(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash % HOSTILE_SLOTS;
}
#endif
