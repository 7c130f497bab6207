/* test - the harness: a test is a function, each runs in its own process with a time limit. */
#ifndef SLUICE_TESTS_TEST_H
#define SLUICE_TESTS_TEST_H
#include "core/base.h"
#include "core/err.h"
#include "core/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TEST(room_subject_what) { ... CHECK(...); } Registered by itself; `unit NAME*` runs those that
 * match. */
typedef void test_fn(void);
void test_register(const char *name, test_fn *fn, int seconds);
#define TEST_LIMIT(name, seconds)                                                                  \
    static void test_##name(void);                                                                 \
    __attribute__((constructor)) static void register_##name(void)                                 \
    {                                                                                              \
        test_register(#name, test_##name, seconds);                                                \
    }                                                                                              \
    static void test_##name(void)
#define TEST(name) TEST_LIMIT(name, 60)

/* A failed check prints place and values and ends the test's process. */
void test_fail(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4)
    __attribute__((noreturn));
void test_skip(const char *fmt, ...) PRINTF_LIKE(1, 2)
    __attribute__((noreturn)); /* counted and printed */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            test_fail(__FILE__, __LINE__, "%s", #cond);                                            \
    } while (0)
#define CHECK_OK(call)                                                                             \
    do {                                                                                           \
        int check_rc_ = (int)(call);                                                               \
        if (check_rc_ < 0)                                                                         \
            test_fail(__FILE__, __LINE__, "%s: %d: %s", #call, check_rc_, err_text());             \
    } while (0)
#define CHECK_ERR(call, code)                                                                      \
    do {                                                                                           \
        int check_rc_ = (int)(call);                                                               \
        if (check_rc_ != (code))                                                                   \
            test_fail(__FILE__, __LINE__, "%s: got %d, want %d (%s)", #call, check_rc_,            \
                      (int)(code), err_text());                                                    \
    } while (0)
#define CHECK_INT(got, want)                                                                       \
    do {                                                                                           \
        long long g_ = (long long)(got), w_ = (long long)(want);                                   \
        if (g_ != w_)                                                                              \
            test_fail(__FILE__, __LINE__, "%s: got %lld, want %lld", #got, g_, w_);                \
    } while (0)
#define CHECK_NUM(got, want, tol)                                                                  \
    do {                                                                                           \
        double g_ = (got), w_ = (want);                                                            \
        double d_ = g_ > w_ ? g_ - w_ : w_ - g_;                                                   \
        if (!(d_ <= (tol)))                                                                        \
            test_fail(__FILE__, __LINE__, "%s: got %.9g, want %.9g +- %g", #got, g_, w_,           \
                      (double)(tol));                                                              \
    } while (0)
#define CHECK_STR(got, want)                                                                       \
    do {                                                                                           \
        struct str g_ = (got);                                                                     \
        const char *w_ = (want);                                                                   \
        if (!str_is(g_, w_))                                                                       \
            test_fail(__FILE__, __LINE__, "%s: got \"%.*s\", want \"%s\"", #got, (int)g_.len,      \
                      g_.ptr, w_);                                                                 \
    } while (0)

/* A fresh folder for this test, removed when it ends. */
const char *test_dir(void);
/* The path of a name in that folder: one of eight buffers, in turn. */
const char *test_path(const char *name);
/* Writes a file with plain stdio: tests write thousands, and none needs to survive a power cut. */
void test_write(const char *path, const void *bytes, size_t len);
/* The same in the test's folder, making folders on the way: its path, as test_path. */
const char *test_put(const char *name, struct str bytes);
/* Path of real data under ../shared/data (or $SLUICE_DATA); skips the test when it is not there. */
const char *test_data(const char *relative);
/* Starts a Python server of tests/tools on the test's folder: it gets test_dir() as its argument,
 * prints its port, and ends when its standard input does, which is when the test ends. Returns the
 * port; skips the test when there is no python3 or this is not the root of the tree. */
int test_server(const char *script);
/* Mounts a tmpfs of 20 MB at path, in name spaces of this process's own; skips the test where that
 * is not allowed. */
void test_mount_small(const char *path);
/* Deterministic random numbers for tests. */
uint64_t test_random(uint64_t *state);
#endif
