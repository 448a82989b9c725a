/* Memory order: the only place where it is spelled out.
 *
 * Every word that two threads look at is read and written through the functions below, and each of them says
 * why its order is enough.  Within one scheduler the same functions are used: a release store and an acquire
 * load are plain moves on x86-64 and cost next to nothing elsewhere.
 *
 *     writer                                   reader
 *     ------                                   ------
 *     fill the slots
 *     ff_publish(sent, s)  -- release -->      s = ff_observe(sent)   -- acquire
 *                                              look at the slots
 *     a = ff_observe(asked)  <-- release --    ff_publish(asked, a)
 *
 * The GCC and Clang builtins are used and not <stdatomic.h>, whose types can't be declared in Cython.
 */
#ifndef FASTFLOW_ATOMICS_H
#define FASTFLOW_ATOMICS_H

#include <stdint.h>

/* A counter that only ever grows, written by one side only. */
typedef struct ff_cursor {
    int64_t value;
} ff_cursor;

/* No cursor ever gets there: "wake me at this cursor" with this value means "nobody sleeps". */
#define FF_NOBODY INT64_MAX

/* By the side that writes it: it sees its own stores in program order, so relaxed is enough. */
static inline int64_t ff_own(const ff_cursor *c)
{
    return __atomic_load_n(&c->value, __ATOMIC_RELAXED);
}

/* By the other side: acquire, so that what was written before the matching ff_publish is seen after it. */
static inline int64_t ff_observe(const ff_cursor *c)
{
    return __atomic_load_n(&c->value, __ATOMIC_ACQUIRE);
}

/* Release: the slots that the new value covers are written before anybody can see it. */
static inline void ff_publish(ff_cursor *c, int64_t v)
{
    __atomic_store_n(&c->value, v, __ATOMIC_RELEASE);
}

/* Publish to somebody who may be about to sleep.  Store-then-load (our cursor, then the sleeper's threshold)
 * must not be reordered, and neither must the sleeper's (threshold, then our cursor): one of the two sides then
 * sees the other.  Release and acquire allow that reordering, so both ends are sequentially consistent. */
static inline void ff_publish_waking(ff_cursor *c, int64_t v)
{
    __atomic_exchange_n(&c->value, v, __ATOMIC_SEQ_CST);
}

static inline int64_t ff_observe_waking(const ff_cursor *c)
{
    return __atomic_load_n(&c->value, __ATOMIC_SEQ_CST);
}

/* Counts of holders (of a segment).  Taking a hold needs no order: whoever takes one already has one. */
static inline int64_t ff_count_up(int64_t *count, int64_t by)
{
    return __atomic_add_fetch(count, by, __ATOMIC_RELAXED);
}

/* Giving one back: release, so that our last look at the memory is over before it is reused, and acquire, so
 * that whoever reuses it (the one who gets 0) sees all those looks as past. */
static inline int64_t ff_count_down(int64_t *count, int64_t by)
{
    return __atomic_sub_fetch(count, by, __ATOMIC_ACQ_REL);
}

/* Acquire, for the same reason as in ff_count_down: "I am the only holder left" allows to overwrite. */
static inline int64_t ff_count(const int64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_ACQUIRE);
}

/* A word that says "look here between two turns": mail, a request to stop, a signal. */
static inline void ff_flag_set(int32_t *flag, int32_t v)
{
    __atomic_store_n(flag, v, __ATOMIC_SEQ_CST);
}

static inline int32_t ff_flag(const int32_t *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static inline int32_t ff_flag_add(int32_t *flag, int32_t by)
{
    return __atomic_add_fetch(flag, by, __ATOMIC_SEQ_CST);
}

/* Both sides may close at the same time: an OR in one step, so that neither close is lost. */
static inline void ff_flag_or(int32_t *flag, int32_t bits)
{
    __atomic_fetch_or(flag, bits, __ATOMIC_SEQ_CST);
}

/* A lock of one word for a few instructions (the free lists of the pool), never held across a system call. */
static inline void ff_lock(int32_t *lock)
{
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE)) {
        while (__atomic_load_n(lock, __ATOMIC_RELAXED)) {
#if defined(__x86_64__) || defined(__i386__)
            __builtin_ia32_pause();
#elif defined(__aarch64__)
            __asm__ __volatile__("yield");
#endif
        }
    }
}

static inline void ff_unlock(int32_t *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#endif
