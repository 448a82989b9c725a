/* Waiting: pause, sleep on a word, wake, and the clock that bounds it.
 *
 * On Linux a sleeper waits on a futex.  Elsewhere it polls with short naps that grow to a millisecond: slower
 * to wake, but right, so that everything within one process builds and runs anywhere.
 */
#ifndef FASTFLOW_WAIT_H
#define FASTFLOW_WAIT_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "_atomics.h"

static inline void ff_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Nanoseconds on the monotonic clock. */
static inline int64_t ff_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Sleep while `*word` is `seen`, at most `timeout` nanoseconds (negative: for ever).  May return early: the
 * caller looks again.  The comparison and the falling asleep are one step for the kernel, so a wake-up between
 * the caller's last look and its sleep is not lost. */
static inline void ff_sleep_while(const int32_t *word, int32_t seen, int64_t timeout)
{
#if defined(__linux__)
    struct timespec t;
    t.tv_sec = timeout / 1000000000;
    t.tv_nsec = timeout % 1000000000;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, timeout < 0 ? (struct timespec *)0 : &t, (void *)0, 0);
#else
    int64_t nap = 20000, end = timeout < 0 ? INT64_MAX : ff_now() + timeout;
    while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen && ff_now() < end) {
        struct timespec t = {0, (long)nap};
        nanosleep(&t, (struct timespec *)0);
        nap = nap < 500000 ? nap * 2 : 1000000;
    }
#endif
}

/* Wake everybody who sleeps on `word`. */
static inline void ff_wake(const int32_t *word)
{
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, (void *)0, (void *)0, 0);
#else
    (void)word;
#endif
}

/* The half of a cursor that changes with every publish.  A futex is 32 bits wide; the other side can't run
 * 2^32 events ahead within one look, because no ring has that capacity in flight while its reader sleeps. */
static inline const int32_t *ff_low_half(const ff_cursor *c)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (const int32_t *)&c->value + 1;
#else
    return (const int32_t *)&c->value;
#endif
}

#endif
