/* _scatter.h: which partition an event belongs to, and the copying that brings it there.

       columns ──hash──▶ 64 bits ──partition──▶ ids, counts ──room is made──▶ scatter, a column each

   The hash depends on values alone: not on the process, the machine, its byte order, the width of a
   dtype, nor on how a stream is cut.  It is part of the interface, since who runs again must find
   the same events in the same partition: no constant below may change, and the tests hold vectors.

     value                               its word, 64 bits
     integer of any width, bool          the value, in two's complement (so -1 is 2**64 - 1)
     datetime64, timedelta64             the count of units; the unit itself is not hashed
     float16, float32, float64           the bits of the float64; -0.0 as 0.0, each NaN as
                                         7ff8000000000000.  5.0 and 5 have different words
     long double                         as the float64 of this value; if there is none, it is cut
                                         into high + low, both float64, and the word is hash(high)
                                         * FOLD + low; beyond their range, infinity or 0.0
     hash(word)                          splitmix64: mix(word + FF_HASH_STEP)

     text, bytes                         without the NULs at their end, cut into words of two code
                                         points, the first in the low half, or of eight bytes, the
                                         first lowest; the last is filled up with NULs
     raw bytes                           likewise, but all of them
     their hash                          h = SEED; for each word: h = hash(h * FOLD + word)

     complex number                      hash(hash(real) * FOLD + hash(imaginary))
     several values                      h is the hash of the first; for each other, in their
                                         order: h = hash(h * FOLD + hash(value)).  So for the
                                         elements of a sub-array and for the columns of an event,
                                         one after the other: nesting is not seen

   splitmix64 is G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number generators"
   (2014), with the constants of D. Stafford's Mix13: hash(w) is what it gives from the state w.

   Of n partitions the one of a hash is (hash >> 32) * n >> 32.  This takes the upper bits, which
   depend on all bits of a word, and needs no division; no partition gets more than its share by a
   greater fraction than n / 2**32.  n is below 2**31.

   Ids are uint8_t for up to 255 partitions, else int32_t; `partitions` itself is the id of an event
   that is discarded, so `counts` and `targets` have partitions + 1 elements. */

#ifndef FASTFLOW_SCATTER_H
#define FASTFLOW_SCATTER_H

#include <string.h>

#include "_loops.h"

#define FF_HASH_STEP 0x9e3779b97f4a7c15ull                  /* 2**64 / golden ratio, odd */
#define FF_HASH_FOLD 0x9e3779b97f4a7c15ull
#define FF_HASH_SEED 0x243f6a8885a308d3ull                  /* the fraction of pi */
#define FF_HASH_NAN 0x7ff8000000000000ull

enum ff_hash_kind {
    FF_HASH_BOOL, FF_HASH_INT, FF_HASH_UINT, FF_HASH_FLOAT, FF_HASH_COMPLEX, FF_HASH_BYTES,
    FF_HASH_TEXT, FF_HASH_RAW
};

/* One column: `elements` values of `size` bytes each an event. */
typedef struct ff_hash_field {
    int32_t kind;
    int32_t padding;
    int64_t size;
    int64_t elements;
} ff_hash_field;

enum {
    FF_HASH_BLOCK = 512,                    /* events whose hashes are in the first cache at once */
    FF_SMALL_IDS = 255,                     /* up to so many partitions ids are of one byte */
    FF_FEW = 7                              /* up to so many a register has a byte for each */
};

/* -- the hash -- */

FF_BODY uint64_t ff_hash_word(uint64_t word) {
    word += FF_HASH_STEP;
    word = (word ^ word >> 30) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ word >> 27) * 0x94d049bb133111ebull;
    return word ^ word >> 31;
}

FF_BODY uint64_t ff_hash_fold(uint64_t hash, uint64_t next) {
    return ff_hash_word(hash * FF_HASH_FOLD + next);
}

FF_BODY uint64_t ff_word_of_double(double value) {
    uint64_t bits;
    value += 0.0;                                           /* -0.0 + 0.0 is 0.0 */
    memcpy(&bits, &value, 8);
    return value != value ? FF_HASH_NAN : bits;
}

static inline uint64_t ff_word_of_long(long double value) {
    double high = (double) value, low = (double) (value - (long double) high);
    if (high - high != 0.0 || low == 0.0)                   /* infinite and NaN have no rest */
        return ff_word_of_double(high);
    return ff_hash_word(ff_word_of_double(high)) * FF_HASH_FOLD + ff_word_of_double(low);
}

/* Up to 8 bytes as a little-endian number. */
FF_BODY uint64_t ff_word_of_bytes(const char *bytes, int64_t size) {
    uint64_t word = 0;
    memcpy(&word, bytes, size < 8 ? (size_t) size : 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t ff_hash_bytes(const char *bytes, int64_t size, int raw) {
    uint64_t hash = FF_HASH_SEED;
    if (!raw)
        while (size > 0 && !bytes[size - 1])
            size--;
    for (int64_t i = 0; i < size; i += 8)
        hash = ff_hash_fold(hash, ff_word_of_bytes(bytes + i, size - i));
    return hash;
}

static inline uint64_t ff_hash_text(const char *text, int64_t size) {
    uint64_t hash = FF_HASH_SEED;
    const ff_u32 *point = (const ff_u32 *) text;
    int64_t n = size / 4;
    while (n > 0 && !point[n - 1])
        n--;
    for (int64_t i = 0; i < n; i += 2)
        hash = ff_hash_fold(hash, point[i] | (i + 1 < n ? (uint64_t) point[i + 1] << 32 : 0));
    return hash;
}

/* -- a block of events: words, then hashes; `words` may be the memory of the events -- */

#define FF_WORDS(type, WORD)                                                                      \
    do {                                                                                          \
        const type *x = (const type *) events;                                                    \
        if (step == 1)                                                                            \
            for (int64_t i = 0; i < n; i++)                                                       \
                out[i] = WORD(x[i]);                                                              \
        else                                                                                      \
            for (int64_t i = 0; i < n; i++)                                                       \
                out[i] = WORD(x[i * step]);                                                       \
    } while (0)
#define FF_WORD_BOOL(value) ((uint64_t) ((value) != 0))
#define FF_WORD_INT(value) ((uint64_t) (int64_t) (value))
#define FF_WORD_UINT(value) ((uint64_t) (value))
#define FF_WORD_HALF(value) ff_word_of_double(ff_from_half(value))
#define FF_WORD_DOUBLE(value) ff_word_of_double((double) (value))

/* The hash of a complex number; its parts are neighbours. */
#define FF_COMPLEX_WORDS(type, WORD)                                                              \
    do {                                                                                          \
        const type *x = (const type *) events;                                                    \
        for (int64_t i = 0; i < n; i++)                                                           \
            out[i] = ff_hash_fold(ff_hash_word(WORD(x[2 * i * step])),                            \
                                  ff_hash_word(WORD(x[2 * i * step + 1])));                       \
    } while (0)

/* Writes the words of n values, each `step` values behind the last, or their hashes; 1: hashes. */
static inline int ff_words(
    int kind, int64_t size, const char *events, int64_t step, int64_t n, uint64_t *out) {
    int64_t stride = step * size;
    switch (kind) {
    case FF_HASH_BOOL:
        FF_WORDS(ff_u8, FF_WORD_BOOL);
        return 0;
    case FF_HASH_INT:
        if (size == 1)
            FF_WORDS(ff_i8, FF_WORD_INT);
        else if (size == 2)
            FF_WORDS(ff_i16, FF_WORD_INT);
        else if (size == 4)
            FF_WORDS(ff_i32, FF_WORD_INT);
        else
            FF_WORDS(ff_i64, FF_WORD_INT);
        return 0;
    case FF_HASH_UINT:
        if (size == 1)
            FF_WORDS(ff_u8, FF_WORD_UINT);
        else if (size == 2)
            FF_WORDS(ff_u16, FF_WORD_UINT);
        else if (size == 4)
            FF_WORDS(ff_u32, FF_WORD_UINT);
        else
            FF_WORDS(ff_u64, FF_WORD_UINT);
        return 0;
    case FF_HASH_FLOAT:
        if (size == 2)
            FF_WORDS(ff_u16, FF_WORD_HALF);
        else if (size == 4)
            FF_WORDS(ff_f32, FF_WORD_DOUBLE);
        else if (size == 8)
            FF_WORDS(ff_f64, FF_WORD_DOUBLE);
        else
            FF_WORDS(ff_flong, ff_word_of_long);
        return 0;
    case FF_HASH_COMPLEX:
        if (size == 8)
            FF_COMPLEX_WORDS(ff_f32, FF_WORD_DOUBLE);
        else if (size == 16)
            FF_COMPLEX_WORDS(ff_f64, FF_WORD_DOUBLE);
        else
            FF_COMPLEX_WORDS(ff_flong, ff_word_of_long);
        return 1;
    case FF_HASH_TEXT:
        for (int64_t i = 0; i < n; i++)
            out[i] = ff_hash_text(events + i * stride, size);
        return 1;
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = ff_hash_bytes(events + i * stride, size, kind == FF_HASH_RAW);
        return 1;
    }
}

/* Whether ff_words knows what to do; Python's side asks before the loops run. */
static inline int ff_hash_knows(int kind, int64_t size) {
    int power = size == 1 || size == 2 || size == 4 || size == 8;
    switch (kind) {
    case FF_HASH_BOOL:
        return size == 1;
    case FF_HASH_INT:
    case FF_HASH_UINT:
        return power;
    case FF_HASH_FLOAT:
        return (power && size != 1) || size == (int64_t) sizeof(long double);
    case FF_HASH_COMPLEX:
        return size == 8 || size == 16 || size == 2 * (int64_t) sizeof(long double);
    case FF_HASH_BYTES:
    case FF_HASH_RAW:
        return size >= 0;
    case FF_HASH_TEXT:
        return size >= 0 && size % 4 == 0;
    default:
        return 0;
    }
}

FF_BODY void ff_mix_body(const ff_u64 *words, int64_t n, uint64_t *hashes) {
    FF_UNROLL
    for (int64_t i = 0; i < n; i++)
        hashes[i] = ff_hash_word(words[i]);
}

FF_BODY void ff_fold_body(const ff_u64 *words, int hashed, int64_t n, uint64_t *hashes) {
    if (hashed)
        for (int64_t i = 0; i < n; i++)
            hashes[i] = ff_hash_fold(hashes[i], words[i]);
    else
        for (int64_t i = 0; i < n; i++)
            hashes[i] = ff_hash_fold(hashes[i], ff_hash_word(words[i]));
}

#define FF_ID(hash) (((hash) >> 32) * (uint64_t) partitions >> 32)

/* For words of 8 bytes and one column the hash needs no memory of its own. */
FF_BODY void ff_place_body(
    const ff_u64 *words, int hashed, int64_t n, int64_t partitions, void *ids) {
    uint8_t *small = ids;
    int32_t *large = ids;
    if (partitions <= FF_SMALL_IDS && hashed)
        for (int64_t i = 0; i < n; i++)
            small[i] = (uint8_t) FF_ID(words[i]);
    else if (partitions <= FF_SMALL_IDS)
        for (int64_t i = 0; i < n; i++)
            small[i] = (uint8_t) FF_ID(ff_hash_word(words[i]));
    else if (hashed)
        for (int64_t i = 0; i < n; i++)
            large[i] = (int32_t) FF_ID(words[i]);
    else
        for (int64_t i = 0; i < n; i++)
            large[i] = (int32_t) FF_ID(ff_hash_word(words[i]));
}

#define FF_SCATTER_LEVEL(level, ATTRIBUTES)                                                       \
    ATTRIBUTES static inline void ff_mix_##level(const ff_u64 *w, int64_t n, uint64_t *h) {       \
        ff_mix_body(w, n, h);                                                                     \
    }                                                                                             \
    ATTRIBUTES static inline void ff_fold_##level(                                                \
        const ff_u64 *w, int hashed, int64_t n, uint64_t *h) {                                    \
        ff_fold_body(w, hashed, n, h);                                                            \
    }                                                                                             \
    ATTRIBUTES static inline void ff_place_##level(                                               \
        const ff_u64 *w, int hashed, int64_t n, int64_t partitions, void *ids) {                  \
        ff_place_body(w, hashed, n, partitions, ids);                                             \
    }

FF_SCATTER_LEVEL(0, )
FF_SCATTER_LEVEL(1, FF_AVX2)
FF_SCATTER_LEVEL(2, FF_AVX512)

static inline void ff_mix(int level, const ff_u64 *words, int64_t n, uint64_t *hashes) {
    (level == 2 ? ff_mix_2 : level ? ff_mix_1 : ff_mix_0)(words, n, hashes);
}

static inline void ff_fold(
    int level, const ff_u64 *words, int hashed, int64_t n, uint64_t *hashes) {
    (level == 2 ? ff_fold_2 : level ? ff_fold_1 : ff_fold_0)(words, hashed, n, hashes);
}

static inline void ff_place(
    int level, const ff_u64 *words, int hashed, int64_t n, int64_t partitions, void *ids) {
    (level == 2 ? ff_place_2 : level ? ff_place_1 : ff_place_0)(words, hashed, n, partitions, ids);
}

/* Words or hashes of one value each of up to FF_HASH_BLOCK events: in `room`, or where they lie. */
static inline const ff_u64 *ff_block_words(
    const ff_hash_field *field, const char *events, int64_t n, uint64_t *room, int *hashed) {
    int integer = field->kind == FF_HASH_INT || field->kind == FF_HASH_UINT;
    *hashed = 0;
    if (integer && field->size == 8 && field->elements == 1)
        return (const ff_u64 *) events;
    *hashed = ff_words(field->kind, field->size, events, field->elements, n, room);
    return (const ff_u64 *) room;
}

/* Hashes of up to FF_HASH_BLOCK events from number `first` on. */
static inline void ff_hash_block(
    int level, const ff_hash_field *fields, int32_t count, char *const *columns, int64_t first,
    int64_t n, uint64_t *hashes) {
    uint64_t room[FF_HASH_BLOCK];
    int started = 0, hashed;
    for (int32_t c = 0; c < count; c++) {
        const ff_hash_field *field = &fields[c];
        const char *events = columns[c] + first * field->elements * field->size;
        for (int64_t e = 0; e < field->elements; e++) {
            const ff_u64 *words = ff_block_words(field, events + e * field->size, n, room, &hashed);
            if (started)
                ff_fold(level, words, hashed, n, hashes);
            else if (hashed)
                memcpy(hashes, words, (size_t) n * 8);
            else
                ff_mix(level, words, n, hashes);
            started = 1;
        }
    }
    if (!started)                                           /* events without a value */
        for (int64_t i = 0; i < n; i++)
            hashes[i] = FF_HASH_SEED;
}

static inline void ff_hash_events(
    int level, const ff_hash_field *fields, int32_t count, char *const *columns, int64_t n,
    uint64_t *hashes) {
    for (int64_t i = 0; i < n; i += FF_HASH_BLOCK) {
        int64_t m = n - i < FF_HASH_BLOCK ? n - i : FF_HASH_BLOCK;
        ff_hash_block(level, fields, count, columns, i, m, hashes + i);
    }
}

/* -- ids and counts -- */

static inline int64_t ff_id_size(int64_t partitions) { return partitions <= FF_SMALL_IDS ? 1 : 4; }

/* Four tables in turn: a count that was just written can't be read for some cycles, and the next
   event is often of the same partition. */
typedef struct ff_tally {
    int64_t count[4][FF_SMALL_IDS + 1];
} ff_tally;

static inline void ff_tally_start(ff_tally *tally, int64_t partitions, int64_t *counts) {
    if (partitions <= FF_SMALL_IDS)
        for (int lane = 0; lane < 4; lane++)
            memset(tally->count[lane], 0, (size_t) (partitions + 1) * 8);
    memset(counts, 0, (size_t) (partitions + 1) * 8);
}

static inline void ff_tally_add(
    ff_tally *tally, const void *ids, int64_t n, int64_t partitions, int64_t *counts) {
    const uint8_t *small = ids;
    const int32_t *large = ids;
    int64_t i = 0;
    if (partitions > FF_SMALL_IDS) {
        for (; i < n; i++)
            counts[large[i]]++;
        return;
    }
    for (; i + 4 <= n; i += 4) {
        tally->count[0][small[i]]++;
        tally->count[1][small[i + 1]]++;
        tally->count[2][small[i + 2]]++;
        tally->count[3][small[i + 3]]++;
    }
    for (; i < n; i++)
        tally->count[0][small[i]]++;
}

static inline void ff_tally_end(const ff_tally *tally, int64_t partitions, int64_t *counts) {
    if (partitions <= FF_SMALL_IDS)
        for (int64_t p = 0; p <= partitions; p++)
            counts[p] = tally->count[0][p] + tally->count[1][p] + tally->count[2][p]
                        + tally->count[3][p];
}

/* Fills ids and counts from the columns of n events.  `level` is ff_machine_level() or less. */
static inline void ff_partition_events(
    int level, const ff_hash_field *fields, int32_t count, char *const *columns, int64_t n,
    int64_t partitions, void *ids, int64_t *counts) {
    uint64_t hashes[FF_HASH_BLOCK];
    ff_tally tally;
    int64_t id_size = ff_id_size(partitions);
    int hashed;
    ff_tally_start(&tally, partitions, counts);
    for (int64_t i = 0; i < n; i += FF_HASH_BLOCK) {
        int64_t m = n - i < FF_HASH_BLOCK ? n - i : FF_HASH_BLOCK;
        char *some = (char *) ids + i * id_size;
        if (count == 1 && fields->elements == 1) {
            const char *events = columns[0] + i * fields->size;
            const ff_u64 *words = ff_block_words(fields, events, m, hashes, &hashed);
            ff_place(level, words, hashed, m, partitions, some);
        } else {
            ff_hash_block(level, fields, count, columns, i, m, hashes);
            ff_place(level, (const ff_u64 *) hashes, 1, m, partitions, some);
        }
        ff_tally_add(&tally, some, m, partitions, counts);
    }
    ff_tally_end(&tally, partitions, counts);
}

/* The same for one column of one value an event; -1 if there is no hash for kind and size. */
static inline int ff_partition_fixed(
    int level, int kind, const char *column, int64_t size, int64_t n, int64_t partitions, void *ids,
    int64_t *counts) {
    ff_hash_field field = {kind, 0, size, 1};
    char *columns[1] = {(char *) column};
    if (!ff_hash_knows(kind, size))
        return -1;
    ff_partition_events(level, &field, 1, columns, n, partitions, ids, counts);
    return 0;
}

/* The same from hashes that are there already, as those of Python objects are. */
static inline void ff_partition_hashes(
    int level, const uint64_t *hashes, int64_t n, int64_t partitions, void *ids,
    int64_t *counts) {
    ff_tally tally;
    int64_t id_size = ff_id_size(partitions);
    ff_tally_start(&tally, partitions, counts);
    for (int64_t i = 0; i < n; i += FF_HASH_BLOCK) {
        int64_t m = n - i < FF_HASH_BLOCK ? n - i : FF_HASH_BLOCK;
        char *some = (char *) ids + i * id_size;
        ff_place(level, (const ff_u64 *) (hashes + i), 1, m, partitions, some);
        ff_tally_add(&tally, some, m, partitions, counts);
    }
    ff_tally_end(&tally, partitions, counts);
}

/* The same from the partitions that somebody's function named, -1 for a discarded event.  Returns
   the position of the first that is not one, with neither ids nor counts of use then; else -1. */
static inline int64_t ff_count_ids(
    const int64_t *given, int64_t n, int64_t partitions, void *ids, int64_t *counts) {
    const ff_i64 *from = (const ff_i64 *) given;
    uint8_t *small = ids;
    int32_t *large = ids;
    ff_tally tally;
    ff_tally_start(&tally, partitions, counts);
    for (int64_t i = 0; i < n; i += FF_HASH_BLOCK) {
        int64_t m = n - i < FF_HASH_BLOCK ? n - i : FF_HASH_BLOCK;
        int bad = 0;
        for (int64_t j = i; j < i + m; j++)
            bad |= from[j] < -1 || from[j] >= partitions;
        for (int64_t j = i; bad && j < i + m; j++)
            if (from[j] < -1 || from[j] >= partitions)
                return j;
        if (partitions <= FF_SMALL_IDS)
            for (int64_t j = i; j < i + m; j++)
                small[j] = (uint8_t) (from[j] < 0 ? partitions : from[j]);
        else
            for (int64_t j = i; j < i + m; j++)
                large[j] = (int32_t) (from[j] < 0 ? partitions : from[j]);
        ff_tally_add(&tally, (char *) ids + i * ff_id_size(partitions), m, partitions, counts);
    }
    ff_tally_end(&tally, partitions, counts);
    return -1;
}

/* -- scatter -- */

/* Up to FF_FEW partitions: how many events each has got in this run is one byte of a register.  A
   cursor in memory costs some eight cycles from one event to the next of the same partition, which
   is what bounds the loop when there are few.  A byte counts to 255, hence the runs. */
enum { FF_RUN = 248 };

#define FF_SCATTER_ONE_OF_FEW(j)                                                                  \
    do {                                                                                          \
        unsigned shift = ids[j] * 8u;                                                             \
        memcpy(target[ids[j]] + (uint8_t) (got >> shift) * SIZE, source + (j) * SIZE, SIZE);      \
        got += 1ull << shift;                                                                     \
    } while (0)

FF_BODY void ff_scatter_few_body(
    const int64_t SIZE, const char *source, int64_t n, const uint8_t *ids, int64_t partitions,
    char **targets) {
    char waste[FF_RUN * 16];                                /* where discarded events go */
    char *target[FF_FEW + 1];
    for (int64_t p = 0; p < partitions; p++)
        target[p] = targets[p];
    target[partitions] = waste;
    while (n > 0) {
        int64_t run = n < FF_RUN ? n : FF_RUN, i = 0;
        uint64_t got = 0;
        for (; i + 8 <= run; i += 8) {
            FF_SCATTER_ONE_OF_FEW(i);
            FF_SCATTER_ONE_OF_FEW(i + 1);
            FF_SCATTER_ONE_OF_FEW(i + 2);
            FF_SCATTER_ONE_OF_FEW(i + 3);
            FF_SCATTER_ONE_OF_FEW(i + 4);
            FF_SCATTER_ONE_OF_FEW(i + 5);
            FF_SCATTER_ONE_OF_FEW(i + 6);
            FF_SCATTER_ONE_OF_FEW(i + 7);
        }
        for (; i < run; i++)
            FF_SCATTER_ONE_OF_FEW(i);
        for (int64_t p = 0; p < partitions; p++)
            target[p] += (uint8_t) (got >> 8 * p) * SIZE;
        source += run * SIZE;
        ids += run;
        n -= run;
    }
    for (int64_t p = 0; p < partitions; p++)
        targets[p] = target[p];
}

/* More: what each has got is in memory, apart from where it starts, so that the next address needs
   one load that may have to wait, not two.  That of the discarded goes back after each eight. */
#define FF_SCATTER_ONE_OF_SMALL(j)                                                                \
    do {                                                                                          \
        unsigned id = ids[j];                                                                     \
        int64_t at = got[id];                                                                     \
        memcpy(start[id] + at, source + (j) * SIZE, SIZE);                                        \
        got[id] = at + SIZE;                                                                      \
    } while (0)

FF_BODY void ff_scatter_small_body(
    const int64_t SIZE, const char *source, int64_t n, const uint8_t *ids, int64_t partitions,
    char **targets) {
    char waste[8 * 16];
    char *start[FF_SMALL_IDS + 1];
    int64_t got[FF_SMALL_IDS + 1];
    memset(got, 0, (size_t) (partitions + 1) * 8);
    for (int64_t p = 0; p < partitions; p++)
        start[p] = targets[p];
    start[partitions] = waste;
    for (; n >= 8; n -= 8) {
        FF_SCATTER_ONE_OF_SMALL(0);
        FF_SCATTER_ONE_OF_SMALL(1);
        FF_SCATTER_ONE_OF_SMALL(2);
        FF_SCATTER_ONE_OF_SMALL(3);
        FF_SCATTER_ONE_OF_SMALL(4);
        FF_SCATTER_ONE_OF_SMALL(5);
        FF_SCATTER_ONE_OF_SMALL(6);
        FF_SCATTER_ONE_OF_SMALL(7);
        got[partitions] = 0;
        source += 8 * SIZE;
        ids += 8;
    }
    for (int i = 0; i < (int) n; i++)
        FF_SCATTER_ONE_OF_SMALL(i);
    for (int64_t p = 0; p < partitions; p++)
        targets[p] = start[p] + got[p];
}

/* So many that to copy their addresses would cost more than it gains: a cursor for each. */
#define FF_SCATTER_ONE_OF_LARGE(j)                                                                \
    do {                                                                                          \
        char *target = targets[ids[j]];                                                           \
        memcpy(target, source + (j) * SIZE, SIZE);                                                \
        targets[ids[j]] = target + SIZE;                                                          \
    } while (0)

FF_BODY void ff_scatter_large_body(
    const int64_t SIZE, const char *source, int64_t n, const int32_t *ids, int64_t partitions,
    char **targets) {
    char waste[8 * 16];
    char *last = targets[partitions];
    targets[partitions] = waste;
    for (; n >= 8; n -= 8) {
        FF_SCATTER_ONE_OF_LARGE(0);
        FF_SCATTER_ONE_OF_LARGE(1);
        FF_SCATTER_ONE_OF_LARGE(2);
        FF_SCATTER_ONE_OF_LARGE(3);
        FF_SCATTER_ONE_OF_LARGE(4);
        FF_SCATTER_ONE_OF_LARGE(5);
        FF_SCATTER_ONE_OF_LARGE(6);
        FF_SCATTER_ONE_OF_LARGE(7);
        targets[partitions] = waste;
        source += 8 * SIZE;
        ids += 8;
    }
    for (int i = 0; i < (int) n; i++)
        FF_SCATTER_ONE_OF_LARGE(i);
    targets[partitions] = last;
}

static inline void ff_scatter_any(
    int64_t size, const char *source, int64_t n, const void *ids, int64_t partitions,
    char **targets) {
    const uint8_t *small = ids;
    const int32_t *large = ids;
    for (int64_t i = 0; i < n; i++) {
        int64_t id = partitions <= FF_SMALL_IDS ? small[i] : large[i];
        if (id == partitions)
            continue;
        memcpy(targets[id], source + i * size, (size_t) size);
        targets[id] += size;
    }
}

#define FF_SCATTER_SIZE(size)                                                                     \
    static inline void ff_scatter_##size(                                                         \
        const char *source, int64_t n, const void *ids, int64_t partitions, char **targets) {     \
        if (partitions <= FF_FEW)                                                                 \
            ff_scatter_few_body(size, source, n, ids, partitions, targets);                       \
        else if (partitions <= FF_SMALL_IDS)                                                      \
            ff_scatter_small_body(size, source, n, ids, partitions, targets);                     \
        else                                                                                      \
            ff_scatter_large_body(size, source, n, ids, partitions, targets);                     \
    }

FF_SCATTER_SIZE(1)
FF_SCATTER_SIZE(2)
FF_SCATTER_SIZE(4)
FF_SCATTER_SIZE(8)
FF_SCATTER_SIZE(16)

/* Writes each of n events, `size` bytes long, to targets[its id], which moves behind it; the events
   of a partition keep their order, and what is discarded is not written.  The last of the targets
   stands for the discarded, and is left as it was; a target that gets nothing may be NULL. */
static inline void ff_scatter_column(
    const char *source, int64_t size, int64_t n, const void *ids, int64_t partitions,
    char **targets) {
    switch (size) {
    case 1:
        ff_scatter_1(source, n, ids, partitions, targets);
        break;
    case 2:
        ff_scatter_2(source, n, ids, partitions, targets);
        break;
    case 4:
        ff_scatter_4(source, n, ids, partitions, targets);
        break;
    case 8:
        ff_scatter_8(source, n, ids, partitions, targets);
        break;
    case 16:
        ff_scatter_16(source, n, ids, partitions, targets);
        break;
    default:
        ff_scatter_any(size, source, n, ids, partitions, targets);
    }
}

#endif /* FASTFLOW_SCATTER_H */
