/* What the machine can do without fastflow: the rivals in C, and a probe of the cores' distance.
 *
 *   rival_blocked_sum   fill a block with a range, add it up, next block: one buffer, no ring
 *   rival_hand_off      the same two loops on two threads, blocks passed on in a ring of slots
 *   rival_partition     hash, count and scatter a block into partitions: no ring, no demand
 *   rival_ping_pong     a cache line bounced between two threads: how far apart the cores are
 *
 * They are written to win: the loops are vectorised for the processor that runs them, and the ring
 * does nothing but what a hand-off needs (no demand, no commit, no sleep, no second reader).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* One copy of a loop for each generation of processor, chosen when the library is loaded: what a
 * wheel has to do, too, since -march=native cannot be shipped. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#define EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EACH_PROCESSOR
#endif

#if defined(__x86_64__) || defined(__i386__)
#define RELAX() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define RELAX() __asm__ __volatile__("yield")
#else
#define RELAX() ((void) 0)
#endif

/* Two lines, not one: processors fetch lines in pairs. */
#define LINE 128

enum { OK = 0, OVERFLOW = 1, NO_MEMORY = 2, NO_THREAD = 3 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

/* -- the two loops -- */

/* Four vectors of eight side by side: one after the other they would wait for each other.  Spelled
 * out, because the compiler's own choice takes 1.7 times as long (gcc 12, AVX-512, 1 K events). */
enum { LANES = 32 };

EACH_PROCESSOR
static void fill(int64_t *out, int64_t n, int64_t start)
{
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            out[i + lane] = start + i + lane;
    for (; i < n; i++)
        out[i] = start + i;
}

/* The sum in 64 bits, which may wrap, and in `seen` every bit that is set in any event. */
EACH_PROCESSOR
static uint64_t sum_wrapping(const int64_t *in, int64_t n, uint64_t *seen)
{
    uint64_t sums[LANES] = {0}, bits[LANES] = {0}, sum = 0, any = 0;
    int64_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) {
            sums[lane] += (uint64_t) in[i + lane];
            bits[lane] |= (uint64_t) in[i + lane];
        }
    for (int lane = 0; lane < LANES; lane++) {
        sum += sums[lane];
        any |= bits[lane];
    }
    for (; i < n; i++) {
        sum += (uint64_t) in[i];
        any |= (uint64_t) in[i];
    }
    *seen = any;
    return sum;
}

/* The sum of one block, exact.  No event is greater than `seen`, read as unsigned: while n times
 * that fits 63 bits, nothing has wrapped and nothing was negative.  Otherwise the events are added
 * again, in 128 bits. */
static __int128 sum_exact(const int64_t *in, int64_t n)
{
    uint64_t seen, sum = sum_wrapping(in, n, &seen);
    __int128 total = 0;

    if ((unsigned __int128) seen * (unsigned __int128) n <= INT64_MAX)
        return (__int128) sum;
    for (int64_t i = 0; i < n; i++)
        total += in[i];
    return total;
}

static int narrow(__int128 total, int64_t *result)
{
    if (total > INT64_MAX || total < INT64_MIN)
        return OVERFLOW;
    *result = (int64_t) total;
    return OK;
}

static void *aligned(size_t size_bytes)
{
    void *memory = NULL;
    size_t rounded = (size_bytes + LINE - 1) / LINE * LINE;

    return posix_memalign(&memory, 4096, rounded) ? NULL : memory;
}

/* -- no ring: range(start, start + n) in blocks, one thread -- */

int rival_blocked_sum(int64_t start, int64_t n, int64_t block, int64_t *result)
{
    int64_t *buffer = aligned((size_t) block * sizeof *buffer);
    __int128 total = 0;

    if (!buffer)
        return NO_MEMORY;
    for (int64_t done = 0; done < n; done += block) {
        int64_t events = n - done < block ? n - done : block;
        fill(buffer, events, start + done);
        total += sum_exact(buffer, events);
    }
    free(buffer);
    return narrow(total, result);
}

/* -- the plain hand-off: one writer, one reader, a ring of slots, two cursors -- */

typedef struct {
    _Alignas(LINE) atomic_llong sent;       /* blocks published, by the writer */
    _Alignas(LINE) atomic_llong acked;      /* blocks done with, by the reader */
    _Alignas(LINE) atomic_int ready;        /* sides that stand at the start */
    _Alignas(LINE) int64_t block, slots, blocks;
    int64_t *memory;
} hand_off;

/* Both sides leave together, so that the start of a thread is in nobody's time. */
static void meet(atomic_int *ready)
{
    atomic_fetch_add_explicit(ready, 1, memory_order_acq_rel);
    while (atomic_load_explicit(ready, memory_order_acquire) < 2)
        RELAX();
}

static void *hand_off_write(void *argument)
{
    hand_off *ring = argument;
    int64_t acked = 0, slot = 0;

    meet(&ring->ready);
    for (int64_t i = 0; i < ring->blocks; i++) {
        /* The reader's cursor is looked at only when our copy of it says "full". */
        while (i - acked == ring->slots) {
            acked = atomic_load_explicit(&ring->acked, memory_order_acquire);
            if (i - acked == ring->slots)
                RELAX();
        }
        fill(ring->memory + slot * ring->block, ring->block, i * ring->block);
        atomic_store_explicit(&ring->sent, i + 1, memory_order_release);
        if (++slot == ring->slots)
            slot = 0;
    }
    return NULL;
}

int rival_hand_off(int64_t block, int64_t slots, int64_t blocks, double *seconds, int64_t *result)
{
    hand_off ring = {.block = block, .slots = slots, .blocks = blocks};
    size_t size_bytes = (size_t) (block * slots) * sizeof *ring.memory;
    int64_t sent = 0, slot = 0;
    __int128 total = 0;
    pthread_t writer;
    double began;

    ring.memory = aligned(size_bytes);
    if (!ring.memory)
        return NO_MEMORY;
    fill(ring.memory, block * slots, 0);        /* page faults belong to nobody's first lap */
    if (pthread_create(&writer, NULL, hand_off_write, &ring)) {
        free(ring.memory);
        return NO_THREAD;
    }
    meet(&ring.ready);
    began = now();
    for (int64_t i = 0; i < blocks; i++) {
        while (sent == i) {
            sent = atomic_load_explicit(&ring.sent, memory_order_acquire);
            if (sent == i)
                RELAX();
        }
        total += sum_exact(ring.memory + slot * block, block);
        atomic_store_explicit(&ring.acked, i + 1, memory_order_release);
        if (++slot == slots)
            slot = 0;
    }
    *seconds = now() - began;
    pthread_join(writer, NULL);
    free(ring.memory);
    return narrow(total, result);
}

/* -- partitions: hash, count, scatter -- */

/* splitmix64 of the event, and of that the upper half times n: the partition that fastflow chooses,
 * too, so that both give the same events. */
EACH_PROCESSOR
static void choose(const int64_t *events, int64_t n, uint64_t partitions, uint8_t *ids)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t x = (uint64_t) events[i] + 0x9e3779b97f4a7c15;

        x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
        x = (x ^ x >> 27) * 0x94d049bb133111eb;
        x ^= x >> 31;
        ids[i] = (uint8_t) ((x >> 32) * partitions >> 32);
    }
}

/* Events of one partition lie together in `out`, in their order, partition after partition. */
int rival_partition(const int64_t *events, int64_t n, int64_t block, int64_t partitions, int64_t *out,
                    int64_t *counts)
{
    uint8_t *ids = aligned((size_t) block);

    if (!ids)
        return NO_MEMORY;
    memset(counts, 0, (size_t) partitions * sizeof *counts);
    for (int64_t done = 0; done < n; done += block) {
        const int64_t *some = events + done;
        int64_t m = n - done < block ? n - done : block;
        int64_t lanes[4][256] = {{0}}, *next[256], *at = out + done, i = 0;

        choose(some, m, (uint64_t) partitions, ids);
        for (; i + 4 <= m; i += 4)
            for (int lane = 0; lane < 4; lane++)
                lanes[lane][ids[i + lane]]++;
        for (; i < m; i++)
            lanes[0][ids[i]]++;
        for (int64_t p = 0; p < partitions; p++) {
            int64_t count = lanes[0][p] + lanes[1][p] + lanes[2][p] + lanes[3][p];

            counts[p] += count;
            next[p] = at;
            at += count;
        }
        for (i = 0; i < m; i++)
            *next[ids[i]]++ = some[i];
    }
    free(ids);
    return OK;
}

/* -- the probe: a line that two threads write in turn -- */

typedef struct {
    _Alignas(LINE) atomic_llong ball;
    _Alignas(LINE) atomic_int ready;
    int64_t trips;
} court;

static void *return_ball(void *argument)
{
    court *c = argument;

    meet(&c->ready);
    for (int64_t i = 0; i < c->trips; i++) {
        while (atomic_load_explicit(&c->ball, memory_order_acquire) != 2 * i + 1)
            RELAX();
        atomic_store_explicit(&c->ball, 2 * i + 2, memory_order_release);
    }
    return NULL;
}

int rival_ping_pong(int64_t trips, double *seconds)
{
    court c = {.trips = trips};
    pthread_t other;
    double began;

    if (pthread_create(&other, NULL, return_ball, &c))
        return NO_THREAD;
    meet(&c.ready);
    began = now();
    for (int64_t i = 0; i < trips; i++) {
        atomic_store_explicit(&c.ball, 2 * i + 1, memory_order_release);
        while (atomic_load_explicit(&c.ball, memory_order_acquire) != 2 * i + 2)
            RELAX();
    }
    *seconds = now() - began;
    pthread_join(other, NULL);
    return OK;
}
