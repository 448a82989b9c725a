/* _kernels.h: the loops of native stages, from plain memory to plain memory.

   A native stage is three functions and a state, run by the turn loop without the GIL:

       fill ──events──▶ consume        fill writes events in place, consume reads them in place

   Every function here is right for any number of events and for any address: events are aligned as
   NumPy aligns them or not at all, so all loads go through types of alignment 1.

   The same loop is compiled up to three times (plain, AVX2, AVX-512 with VNNI) and chosen when a
   kernel is made: -march=native can't be shipped, and a table of pointers needs no ifunc, which
   sanitizers and musl don't have. All levels give the same bits: lanes are explicit, nothing is
   reassociated, and the build says -ffp-contract=off, since AVX-512 brings fused multiply-adds. */

#ifndef FASTFLOW_KERNELS_H
#define FASTFLOW_KERNELS_H

#include <stdint.h>

typedef struct ff_kernel {
    /* producer: writes up to n events into contiguous `out`; returns how many; fewer than n: the
       end is reached */
    int64_t (*fill)(void *state, char *out, int64_t n);
    /* consumer: n contiguous events; from the turn loop 1 <= n <= 1024 */
    void (*consume)(void *state, const char *events, int64_t n);
    /* producer: events still to come, INT64_MAX when endless */
    int64_t (*remaining)(void *state);
} ff_kernel;

#endif /* FASTFLOW_KERNELS_H */

/* What is above is the interface, and all that a cimport brings; the loops are for _native.pyx
   alone, which defines FF_KERNEL_LOOPS and includes this header once more. */
#if defined(FF_KERNEL_LOOPS) && !defined(FASTFLOW_KERNEL_LOOPS_H)
#define FASTFLOW_KERNEL_LOOPS_H

#include <math.h>
#include <string.h>

#include "_loops.h"

typedef int64_t (*ff_fill)(void *state, char *out, int64_t n);
typedef void (*ff_consume)(void *state, const char *events, int64_t n);

/* What an event is.  The order is relied on: FF_U64 is the last integer, FF_BOOL the first. */
enum ff_type {
    FF_BOOL, FF_I8, FF_I16, FF_I32, FF_I64, FF_U8, FF_U16, FF_U32, FF_U64,
    FF_F16, FF_F32, FF_F64, FF_FLONG, FF_C64, FF_C128, FF_CLONG, FF_TIME, FF_TYPES
};

/* name[level], each compiled from name_body */
#define FF_MAKE_FILL(name)                                                                        \
    static int64_t name##_0(void *s, char *out, int64_t n) {                                      \
        return name##_body(s, out, n);                                                            \
    }                                                                                             \
    FF_AVX2 static int64_t name##_1(void *s, char *out, int64_t n) {                              \
        return name##_body(s, out, n);                                                            \
    }                                                                                             \
    FF_AVX512 static int64_t name##_2(void *s, char *out, int64_t n) {                            \
        return name##_body(s, out, n);                                                            \
    }

#define FF_MAKE_CONSUME(name)                                                                     \
    static void name##_0(void *s, const char *x, int64_t n) {                                     \
        name##_body(s, x, n);                                                                     \
    }                                                                                             \
    FF_AVX2 static void name##_1(void *s, const char *x, int64_t n) {                             \
        name##_body(s, x, n);                                                                     \
    }                                                                                             \
    FF_AVX512 static void name##_2(void *s, const char *x, int64_t n) {                           \
        name##_body(s, x, n);                                                                     \
    }

#define FF_ALL_LEVELS(name) { name##_0, name##_1, name##_2 }

#define FF_NUMBERS(name)                                                                          \
    [FF_BOOL] = FF_ALL_LEVELS(name##_bool), [FF_I8] = FF_ALL_LEVELS(name##_i8),                   \
    [FF_I16] = FF_ALL_LEVELS(name##_i16), [FF_I32] = FF_ALL_LEVELS(name##_i32),                   \
    [FF_I64] = FF_ALL_LEVELS(name##_i64), [FF_U8] = FF_ALL_LEVELS(name##_u8),                     \
    [FF_U16] = FF_ALL_LEVELS(name##_u16), [FF_U32] = FF_ALL_LEVELS(name##_u32),                   \
    [FF_U64] = FF_ALL_LEVELS(name##_u64), [FF_F16] = FF_ALL_LEVELS(name##_f16),                   \
    [FF_F32] = FF_ALL_LEVELS(name##_f32), [FF_F64] = FF_ALL_LEVELS(name##_f64),                   \
    [FF_FLONG] = FF_ALL_LEVELS(name##_flong), [FF_C64] = FF_ALL_LEVELS(name##_c64),               \
    [FF_C128] = FF_ALL_LEVELS(name##_c128), [FF_CLONG] = FF_ALL_LEVELS(name##_clong)

/* -- Range -- */

typedef struct ff_range_int {                               /* a bit pattern serves both signs */
    uint64_t next, step;
    int64_t left;
} ff_range_int;

typedef struct ff_range_float {                             /* start + i * step, with i counted */
    double start[2], step[2];                               /* real, imaginary */
    int64_t i, left;
} ff_range_float;

typedef struct ff_range_long {
    long double start[2], step[2];
    int64_t i, left;
} ff_range_long;

FF_BODY int64_t ff_take(int64_t *left, int64_t n) {         /* INT64_MAX is endless and stays so */
    if (*left == INT64_MAX)
        return n;
    if (n > *left)
        n = *left;
    *left -= n;
    return n;
}

#define FF_RANGE_INT(name, type, plain)                                                           \
    FF_BODY int64_t name##_body(void *state, char *out, int64_t n) {                              \
        ff_range_int *range = state;                                                              \
        type *x = (type *) out;                                                                   \
        plain value = (plain) range->next, step = (plain) range->step;                            \
        n = ff_take(&range->left, n);                                                             \
        FF_UNROLL                                                                                 \
        for (int64_t j = 0; j < n; j++) {                                                         \
            x[j] = value;                                                                         \
            value = (plain) (value + step);                                                       \
        }                                                                                         \
        range->next += (uint64_t) n * range->step;                                                \
        return n;                                                                                 \
    }                                                                                             \
    FF_MAKE_FILL(name)

FF_RANGE_INT(ff_range_8, ff_u8, uint8_t)
FF_RANGE_INT(ff_range_16, ff_u16, uint16_t)
FF_RANGE_INT(ff_range_32, ff_u32, uint32_t)
FF_RANGE_INT(ff_range_64, ff_u64, uint64_t)

/* Index plus a small offset is exact in double below 2**53, and int32 to double is a vector
   instruction on every level where int64 to double is not. */
#define FF_SMALL (1 << 20)

#define FF_RANGE_FLOAT(name, state_type, real, type, parts, PUT)                                  \
    FF_BODY int64_t name##_body(void *state, char *out, int64_t n) {                              \
        state_type *range = state;                                                                \
        type *x = (type *) out;                                                                   \
        real re = range->start[0], im = range->start[1];                                          \
        real step_re = range->step[0], step_im = range->step[1];                                  \
        n = ff_take(&range->left, n);                                                             \
        for (int64_t done = 0; done < n;) {                                                       \
            int64_t first = range->i + done;                                                      \
            int32_t m = (int32_t) (n - done < FF_SMALL ? n - done : FF_SMALL);                    \
            if (first > ((int64_t) 1 << 53) - FF_SMALL)                                           \
                m = 1;                      /* beyond, each index is rounded by itself */         \
            for (int32_t j = 0; j < m; j++) {                                                     \
                real index = (real) first + (real) j;                                             \
                x[(done + j) * parts] = PUT(re + index * step_re);                                \
                if (parts == 2)                                                                   \
                    x[(done + j) * parts + parts - 1] = PUT(im + index * step_im);                \
            }                                                                                     \
            done += m;                                                                            \
        }                                                                                         \
        range->i += n;                                                                            \
        return n;                                                                                 \
    }                                                                                             \
    FF_MAKE_FILL(name)

#define FF_AS_IS(value) (value)
#define FF_AS_FLOAT(value) ((float) (value))
FF_RANGE_FLOAT(ff_range_f16, ff_range_float, double, ff_u16, 1, ff_to_half)
FF_RANGE_FLOAT(ff_range_f32, ff_range_float, double, ff_f32, 1, FF_AS_FLOAT)
FF_RANGE_FLOAT(ff_range_f64, ff_range_float, double, ff_f64, 1, FF_AS_IS)
FF_RANGE_FLOAT(ff_range_flong, ff_range_long, long double, ff_flong, 1, FF_AS_IS)
FF_RANGE_FLOAT(ff_range_c64, ff_range_float, double, ff_f32, 2, FF_AS_FLOAT)
FF_RANGE_FLOAT(ff_range_c128, ff_range_float, double, ff_f64, 2, FF_AS_IS)
FF_RANGE_FLOAT(ff_range_clong, ff_range_long, long double, ff_flong, 2, FF_AS_IS)

static int64_t ff_remaining_int(void *state) { return ((ff_range_int *) state)->left; }
static int64_t ff_remaining_float(void *state) { return ((ff_range_float *) state)->left; }
static int64_t ff_remaining_long(void *state) { return ((ff_range_long *) state)->left; }

static const ff_fill ff_ranges[FF_TYPES][FF_LEVELS] = {
    [FF_BOOL] = FF_ALL_LEVELS(ff_range_8), [FF_I8] = FF_ALL_LEVELS(ff_range_8),
    [FF_I16] = FF_ALL_LEVELS(ff_range_16), [FF_I32] = FF_ALL_LEVELS(ff_range_32),
    [FF_I64] = FF_ALL_LEVELS(ff_range_64),
    [FF_U8] = FF_ALL_LEVELS(ff_range_8), [FF_U16] = FF_ALL_LEVELS(ff_range_16),
    [FF_U32] = FF_ALL_LEVELS(ff_range_32), [FF_U64] = FF_ALL_LEVELS(ff_range_64),
    [FF_F16] = FF_ALL_LEVELS(ff_range_f16), [FF_F32] = FF_ALL_LEVELS(ff_range_f32),
    [FF_F64] = FF_ALL_LEVELS(ff_range_f64), [FF_FLONG] = FF_ALL_LEVELS(ff_range_flong),
    [FF_C64] = FF_ALL_LEVELS(ff_range_c64), [FF_C128] = FF_ALL_LEVELS(ff_range_c128),
    [FF_CLONG] = FF_ALL_LEVELS(ff_range_clong),
};

static inline ff_fill ff_range_of(int type, int level) { return ff_ranges[type][level]; }

/* Whether n >= 1 values from start by step are all within the type, as far as int64 can tell: of
   uint64 beyond 2**63 - 1 it says no. */
static inline int ff_range_fits(int type, int64_t start, int64_t step, int64_t n) {
    static const int64_t low[] = {0, INT8_MIN, INT16_MIN, INT32_MIN, INT64_MIN, 0, 0, 0, 0};
    static const int64_t high[] = {1,         INT8_MAX,   INT16_MAX,  INT32_MAX, INT64_MAX,
                                   UINT8_MAX, UINT16_MAX, UINT32_MAX, INT64_MAX};
    int64_t last;
    if (__builtin_mul_overflow(n - 1, step, &last) || __builtin_add_overflow(last, start, &last))
        return 0;
    return start >= low[type] && start <= high[type] && last >= low[type] && last <= high[type];
}

static inline int ff_finite(int type, double value) {
    if (type == FF_F16)
        return (ff_to_half(value) & 0x7c00u) != 0x7c00u;
    if (type == FF_F32 || type == FF_C64)
        return isfinite((float) value) != 0;
    return isfinite(value) != 0;
}

/* Of n >= 1 values: 0 all right; 1 start or step is not finite; 2 some value is not, as rounded. */
static inline int ff_check_float(const ff_range_float *range, int type, int64_t n) {
    const double *start = range->start, *step = range->step;
    for (int part = 0; part < 2; part++)
        if (!isfinite(start[part]) || !isfinite(step[part]))
            return 1;
    for (int part = 0; part < 2; part++)
        if (!ff_finite(type, start[part])
            || !ff_finite(type, start[part] + (double) (n - 1) * step[part]))
            return 2;
    return 0;
}

static inline int ff_check_long(const ff_range_long *range, int64_t n) {
    const long double *start = range->start, *step = range->step;
    for (int part = 0; part < 2; part++)
        if (!isfinite(start[part]) || !isfinite(step[part]))
            return 1;
    for (int part = 0; part < 2; part++)
        if (!isfinite(start[part] + (long double) (n - 1) * step[part]))
            return 2;
    return 0;
}

/* -- Sum of integers: exact, in 128 bits -- */

typedef struct ff_total {                                   /* high * 2**64 + low */
    int64_t high;
    uint64_t low;
} ff_total;

FF_BODY void ff_total_add(ff_total *total, int64_t high, uint64_t low) {
    total->low += low;
    total->high += high + (total->low < low);
}

/* A sum S of at most FF_BLOCK values is known modulo 2**64 as `wrapped`, and `high` is the sum of
   each value's upper part, value >> bits (rounded down). What the lower parts add up to is below
   FF_BLOCK * 2**bits <= 2**64, so its remainder modulo 2**64 is all of it, and S is exact. That is
   one addition, one shift and one more addition a value instead of an addition with carry. */
#define FF_BLOCK 65536

FF_BODY void ff_total_add_split(ff_total *total, int64_t high, uint64_t wrapped, int bits) {
    uint64_t upper = (uint64_t) high << bits;
    ff_total_add(total, high >> (64 - bits), upper);
    ff_total_add(total, 0, wrapped - upper);
}

#define FF_SUM_SMALL(name, type, wide, GET)                                                       \
    FF_BODY void name##_body(void *state, const char *events, int64_t n) {                        \
        const type *x = (const type *) events;                                                    \
        while (n > 0) {                                                                           \
            int64_t m = n < FF_BLOCK ? n : FF_BLOCK;                                              \
            wide sum = 0;                   /* 65,536 values of 32 bits: no overflow */           \
            for (int64_t j = 0; j < m; j++)                                                       \
                sum += GET(x[j]);                                                                 \
            ff_total_add(state, -(int64_t) (sum < 0), (uint64_t) sum);                            \
            x += m;                                                                               \
            n -= m;                                                                               \
        }                                                                                         \
    }                                                                                             \
    FF_MAKE_CONSUME(name)

#define FF_TRUTH(value) ((value) != 0)                      /* any byte but 0 is true */
FF_SUM_SMALL(ff_sum_bool, ff_u8, int64_t, FF_TRUTH)
FF_SUM_SMALL(ff_sum_i8, ff_i8, int64_t, FF_AS_IS)
FF_SUM_SMALL(ff_sum_i16, ff_i16, int64_t, FF_AS_IS)
FF_SUM_SMALL(ff_sum_i32, ff_i32, int64_t, FF_AS_IS)
FF_SUM_SMALL(ff_sum_u8, ff_u8, int64_t, FF_AS_IS)
FF_SUM_SMALL(ff_sum_u16, ff_u16, int64_t, FF_AS_IS)
FF_SUM_SMALL(ff_sum_u32, ff_u32, int64_t, FF_AS_IS)

/* Signed values are counted from -2**63 (one xor): AVX2 shifts 64-bit lanes only as unsigned. */
FF_BODY void ff_sum_64(ff_total *total, const char *events, int64_t n, int is_signed) {
    const ff_u64 *x = (const ff_u64 *) events;
    uint64_t flip = is_signed ? (uint64_t) 1 << 63 : 0;
    while (n > 0) {
        int64_t m = n < FF_BLOCK ? n : FF_BLOCK;
        uint64_t wrapped = 0, high = 0;
        for (int64_t j = 0; j < m; j++) {
            uint64_t value = x[j] ^ flip;
            wrapped += value;
            high += value >> 32;
        }
        ff_total_add_split(total, (int64_t) high, wrapped, 32);
        if (is_signed)                                      /* less m * 2**63 */
            ff_total_add(total, -(m >> 1) - (m & 1), (uint64_t) m << 63);
        x += m;
        n -= m;
    }
}

FF_BODY void ff_sum_u64_body(void *state, const char *events, int64_t n) {
    ff_sum_64(state, events, n, 0);
}
FF_MAKE_CONSUME(ff_sum_u64)

static void ff_sum_i64_0(void *state, const char *events, int64_t n) {
    ff_sum_64(state, events, n, 1);
}

#if FF_X86
/* Four vectors are loaded once and kept in registers: left to itself GCC folds each load into both
   of its uses, and loads are what bounds this loop. */
#define FF_HELD(a, b, c, d) __asm__("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d))

/* AVX-512: the upper 16 bits of each value are summed by one dot product of words with (0, 0, 0,
   1). */
FF_AVX512 static void ff_sum_i64_2(void *state, const char *events, int64_t n) {
    const __m512i pick = _mm512_set1_epi64((int64_t) 1 << 48);
    while (n >= 32) {
        int64_t m = (n < FF_BLOCK ? n : FF_BLOCK) & ~(int64_t) 31;
        const char *end = events + 8 * m;
        __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
        __m512i h0 = s0, h1 = s0, h2 = s0, h3 = s0;
        for (; events < end; events += 256) {
            __m512i x0 = _mm512_loadu_si512(events), x1 = _mm512_loadu_si512(events + 64);
            __m512i x2 = _mm512_loadu_si512(events + 128), x3 = _mm512_loadu_si512(events + 192);
            FF_HELD(x0, x1, x2, x3);
            s0 = _mm512_add_epi64(s0, x0);
            s1 = _mm512_add_epi64(s1, x1);
            s2 = _mm512_add_epi64(s2, x2);
            s3 = _mm512_add_epi64(s3, x3);
            h0 = _mm512_dpwssd_epi32(h0, x0, pick);
            h1 = _mm512_dpwssd_epi32(h1, x1, pick);
            h2 = _mm512_dpwssd_epi32(h2, x2, pick);
            h3 = _mm512_dpwssd_epi32(h3, x3, pick);
        }
        s0 = _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3));
        h0 = _mm512_add_epi32(_mm512_add_epi32(h0, h1), _mm512_add_epi32(h2, h3));
        h0 = _mm512_srai_epi64(h0, 32);                     /* the lower halves have weight 0 */
        ff_total_add_split(state, _mm512_reduce_add_epi64(h0),
                           (uint64_t) _mm512_reduce_add_epi64(s0), 48);
        n -= m;
    }
    if (n > 0)
        ff_sum_64(state, events, n, 1);
}

/* AVX2: the upper halves of two vectors are packed into one, and shifted and added together. */
FF_AVX2 static void ff_sum_i64_1(void *state, const char *events, int64_t n) {
    while (n >= 16) {
        int64_t m = (n < FF_BLOCK ? n : FF_BLOCK) & ~(int64_t) 15, high = 0;
        const char *end = events + 8 * m;
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0, h0 = s0, h1 = s0, u0, u1;
        uint64_t wrapped[4];
        int32_t upper[8];
        for (; events < end; events += 128) {
            __m256i x0 = _mm256_loadu_si256((const __m256i *) events);
            __m256i x1 = _mm256_loadu_si256((const __m256i *) (events + 32));
            __m256i x2 = _mm256_loadu_si256((const __m256i *) (events + 64));
            __m256i x3 = _mm256_loadu_si256((const __m256i *) (events + 96));
            FF_HELD(x0, x1, x2, x3);
            s0 = _mm256_add_epi64(s0, x0);
            s1 = _mm256_add_epi64(s1, x1);
            s2 = _mm256_add_epi64(s2, x2);
            s3 = _mm256_add_epi64(s3, x3);
            u0 = _mm256_castps_si256(
                _mm256_shuffle_ps(_mm256_castsi256_ps(x0), _mm256_castsi256_ps(x1), 0xdd));
            u1 = _mm256_castps_si256(
                _mm256_shuffle_ps(_mm256_castsi256_ps(x2), _mm256_castsi256_ps(x3), 0xdd));
            h0 = _mm256_add_epi32(h0, _mm256_srai_epi32(u0, 16));
            h1 = _mm256_add_epi32(h1, _mm256_srai_epi32(u1, 16));
        }
        s0 = _mm256_add_epi64(_mm256_add_epi64(s0, s1), _mm256_add_epi64(s2, s3));
        _mm256_storeu_si256((__m256i *) wrapped, s0);
        _mm256_storeu_si256((__m256i *) upper, _mm256_add_epi32(h0, h1));
        for (int lane = 0; lane < 8; lane++)
            high += upper[lane];
        ff_total_add_split(state, high, wrapped[0] + wrapped[1] + wrapped[2] + wrapped[3], 48);
        n -= m;
    }
    if (n > 0)
        ff_sum_64(state, events, n, 1);
}
#else
#define ff_sum_i64_1 ff_sum_i64_0
#define ff_sum_i64_2 ff_sum_i64_0
#endif

/* -- Sum of floats: compensated, in lanes by position in the stream -- */

/* 16 lanes are 2 vectors of AVX-512 and 4 of AVX2: enough to hide the latency of an addition, and
   sums and rests together still fit the registers. */
#define FF_LANES 16

typedef struct ff_lanes {
    double sum[FF_LANES], rest[FF_LANES];                   /* rest: what rounding took off */
    int64_t lane;                                           /* where the next number goes */
} ff_lanes;

typedef struct ff_lanes_long {
    long double sum[FF_LANES], rest[FF_LANES];
    int64_t lane;
} ff_lanes_long;

/* Knuth's two-sum, for either type: the rounding error of an addition is exact, whichever is
   larger. */
#define FF_TWO_SUM(real, sum, rest, value)                                                        \
    do {                                                                                          \
        real ff_old = (sum), ff_new = ff_old + (value), ff_part = ff_new - ff_old;                \
        (rest) += (ff_old - (ff_new - ff_part)) + ((value) - ff_part);                            \
        (sum) = ff_new;                                                                           \
    } while (0)

/* One number after the other: what stands before and behind whole rows of lanes. */
#define FF_SUM_ONE(real, lanes, value)                                                            \
    do {                                                                                          \
        int64_t ff_at = (lanes)->lane & (FF_LANES - 1);                                           \
        FF_TWO_SUM(real, (lanes)->sum[ff_at], (lanes)->rest[ff_at], value);                       \
        (lanes)->lane = (ff_at + 1) & (FF_LANES - 1);                                             \
    } while (0)

/* Rows of 16 doubles, from lane 0. Vectors are spelled out, and each level has its own width: GCC
   leaves lanes that are an array in memory, which costs two thirds of the speed. */
#define FF_SUM_ROWS(name, target, width)                                                          \
    typedef double name##_vector __attribute__((vector_size(8 * width)));                         \
    target static void name(ff_lanes *lanes, const char *x, int64_t rows) {                       \
        name##_vector sum[FF_LANES / width], rest[FF_LANES / width];                              \
        memcpy(sum, lanes->sum, sizeof sum);                                                      \
        memcpy(rest, lanes->rest, sizeof rest);                                                   \
        for (; rows > 0; rows--, x += sizeof sum)                                                 \
            _Pragma("GCC unroll 8")                                                               \
            for (int k = 0; k < FF_LANES / width; k++) {                                          \
                name##_vector value;                                                              \
                memcpy(&value, x + k * sizeof value, sizeof value);                               \
                FF_TWO_SUM(name##_vector, sum[k], rest[k], value);                                \
            }                                                                                     \
        memcpy(lanes->sum, sum, sizeof sum);                                                      \
        memcpy(lanes->rest, rest, sizeof rest);                                                   \
    }

FF_SUM_ROWS(ff_sum_rows_0, , 2)
FF_SUM_ROWS(ff_sum_rows_1, FF_AVX2, 4)
FF_SUM_ROWS(ff_sum_rows_2, FF_AVX512, 8)

typedef void (*ff_sum_rows)(ff_lanes *lanes, const char *x, int64_t rows);

FF_BODY void ff_sum_doubles(ff_lanes *lanes, const char *events, int64_t n, ff_sum_rows sum_rows) {
    const ff_f64 *x = (const ff_f64 *) events;
    for (; n > 0 && lanes->lane != 0; n--, x++)
        FF_SUM_ONE(double, lanes, *x);
    if (n >= FF_LANES) {
        sum_rows(lanes, (const char *) x, n / FF_LANES);
        x += n & ~(int64_t) (FF_LANES - 1);
        n &= FF_LANES - 1;
    }
    for (; n > 0; n--, x++)
        FF_SUM_ONE(double, lanes, *x);
}

/* Smaller floats are converted in pieces that stay in the L1 cache. */
#define FF_PIECE 512

#define FF_SUM_CONVERTED(name, type, parts, GET)                                                  \
    FF_BODY void name##_body(ff_lanes *lanes, const char *events, int64_t n,                      \
                             ff_sum_rows sum_rows) {                                              \
        const type *x = (const type *) events;                                                    \
        double piece[FF_PIECE];                                                                   \
        for (n *= parts; n > 0;) {                                                                \
            int m = n < FF_PIECE ? (int) n : FF_PIECE;                                            \
            for (int j = 0; j < m; j++)                                                           \
                piece[j] = GET(x[j]);                                                             \
            ff_sum_doubles(lanes, (const char *) piece, m, sum_rows);                             \
            x += m;                                                                               \
            n -= m;                                                                               \
        }                                                                                         \
    }                                                                                             \
    FF_MAKE_SUM(name)

#define FF_MAKE_SUM(name)                                                                         \
    static void name##_0(void *s, const char *x, int64_t n) {                                     \
        name##_body(s, x, n, ff_sum_rows_0);                                                      \
    }                                                                                             \
    FF_AVX2 static void name##_1(void *s, const char *x, int64_t n) {                             \
        name##_body(s, x, n, ff_sum_rows_1);                                                      \
    }                                                                                             \
    FF_AVX512 static void name##_2(void *s, const char *x, int64_t n) {                           \
        name##_body(s, x, n, ff_sum_rows_2);                                                      \
    }

FF_BODY void ff_sum_f64_body(ff_lanes *lanes, const char *events, int64_t n,
                             ff_sum_rows sum_rows) {
    ff_sum_doubles(lanes, events, n, sum_rows);
}

/* A complex number is two numbers, in two lanes. */
FF_BODY void ff_sum_c128_body(ff_lanes *lanes, const char *events, int64_t n,
                              ff_sum_rows sum_rows) {
    ff_sum_doubles(lanes, events, 2 * n, sum_rows);
}

FF_MAKE_SUM(ff_sum_f64)
FF_MAKE_SUM(ff_sum_c128)
FF_SUM_CONVERTED(ff_sum_f16, ff_u16, 1, ff_from_half)
FF_SUM_CONVERTED(ff_sum_f32, ff_f32, 1, FF_AS_IS)
FF_SUM_CONVERTED(ff_sum_c64, ff_f32, 2, FF_AS_IS)

FF_BODY void ff_sum_long(ff_lanes_long *lanes, const char *events, int64_t n) {
    const ff_flong *x = (const ff_flong *) events;
    for (; n > 0; n--, x++)
        FF_SUM_ONE(long double, lanes, *x);
}

FF_BODY void ff_sum_flong_body(void *lanes, const char *events, int64_t n) {
    ff_sum_long(lanes, events, n);
}

FF_BODY void ff_sum_clong_body(void *lanes, const char *events, int64_t n) {
    ff_sum_long(lanes, events, 2 * n);
}

FF_MAKE_CONSUME(ff_sum_flong)
FF_MAKE_CONSUME(ff_sum_clong)

/* The total of every `stride`th lane from `first` on, in that order. Infinities and NaN decide
   alone: the rests of their lanes are NaN, and finite lanes have no say. Lanes that are finite but
   whose sum on the way is not are added once more at 1/256, so that only a total out of range is
   infinite. */
#define FF_LANES_TOTAL(name, real)                                                                \
    static real name(const real *sums, const real *rests, int first, int stride) {                \
        real special = 0, sum = 0, rest = 0, scale = 1;                                           \
        int any = 0;                                                                              \
        for (int k = first; k < FF_LANES; k += stride)                                            \
            if (!isfinite(sums[k])) {                                                             \
                special += sums[k];                                                               \
                any = 1;                                                                          \
            }                                                                                     \
        if (any)                                                                                  \
            return special;                                                                       \
        for (int turn = 0; turn < 2; turn++, scale = (real) 0x1p-8) {                             \
            sum = rest = 0;                                                                       \
            for (int k = first; k < FF_LANES; k += stride)                                        \
                FF_TWO_SUM(real, sum, rest, sums[k] * scale);                                     \
            for (int k = first; k < FF_LANES; k += stride)                                        \
                FF_TWO_SUM(real, sum, rest, rests[k] * scale);                                    \
            if (isfinite(sum + rest))                                                             \
                break;                                                                            \
        }                                                                                         \
        return (sum + rest) / (scale < 1 ? (real) 0x1p-8 : 1);                                    \
    }

FF_LANES_TOTAL(ff_lanes_total, double)
FF_LANES_TOTAL(ff_lanes_long_total, long double)

static inline void ff_lanes_long_result(const ff_lanes_long *lanes, int parts,
                                        long double *result) {
    for (int part = 0; part < parts; part++)
        result[part] = ff_lanes_long_total(lanes->sum, lanes->rest, part, parts);
}

static const ff_consume ff_sums[FF_TYPES][FF_LEVELS] = {FF_NUMBERS(ff_sum)};

static inline ff_consume ff_sum_of(int type, int level) { return ff_sums[type][level]; }

/* -- Count: events of any schema; `events` may be NULL and is not touched -- */

static void ff_count(void *state, const char *events, int64_t n) {
    (void) events;
    *(int64_t *) state += n;
}

/* -- Min and Max -- */

typedef struct ff_extreme {
    int64_t any, nan;
    int64_t i;                                              /* the extreme, or its key, in one */
    uint64_t u;
    double d[2];
    long double g[2];
} ff_extreme;

/* Integers, and what is compared through an integer key of the same order. */
#define FF_EXTREME_INT(name, type, plain, field, KEY, IS_NAN, OP)                                 \
    FF_BODY void name##_body(void *state, const char *events, int64_t n) {                        \
        ff_extreme *extreme = state;                                                              \
        const type *x = (const type *) events;                                                    \
        plain best;                                                                               \
        plain nan = 0;                                                                            \
        if (n <= 0)                                                                               \
            return;                                                                               \
        best = extreme->any ? (plain) extreme->field : (plain) KEY(x[0]);                         \
        for (int64_t j = 0; j < n; j++) {                                                         \
            plain key = (plain) KEY(x[j]);                                                        \
            best = key OP best ? key : best;                                                      \
            nan |= (plain) IS_NAN(x[j]);                                                          \
        }                                                                                         \
        extreme->field = best;                                                                    \
        extreme->nan |= nan != 0;                                                                 \
        extreme->any = 1;                                                                         \
    }                                                                                             \
    FF_MAKE_CONSUME(name)

#define FF_NEVER(value) 0
/* Floats by their bits: with the sign left as it is and, of negative numbers, the rest inverted,
   they are integers in the order of the numbers, -0.0 before 0.0. This way the result does not
   depend on which of two equals comes first, and NaN, which is in no order, is remembered aside.
   */
#define FF_KEY_16(bits) ((int16_t) ((bits) ^ (((bits) >> 15) & INT16_MAX)))
#define FF_KEY_32(bits) ((bits) ^ (((bits) >> 31) & INT32_MAX))
#define FF_KEY_64(bits) ((bits) ^ (((bits) >> 63) & INT64_MAX))
#define FF_NAN_16(bits) (((bits) & INT16_MAX) > 0x7c00)
#define FF_NAN_32(bits) (((bits) & INT32_MAX) > 0x7f800000)
#define FF_NAN_64(bits) (((bits) & INT64_MAX) > 0x7ff0000000000000)
/* NaT is the least int64; less one, wrapping round, it is the greatest, and all others keep order.
   */
#define FF_TIME_KEY(value) ((int64_t) ((uint64_t) (value) - 1))

#define FF_EXTREME_INTS(minmax, OP, TIME_KEY)                                                     \
    FF_EXTREME_INT(ff_##minmax##_bool, ff_u8, uint8_t, u, FF_TRUTH, FF_NEVER, OP)                 \
    FF_EXTREME_INT(ff_##minmax##_i8, ff_i8, int8_t, i, FF_AS_IS, FF_NEVER, OP)                    \
    FF_EXTREME_INT(ff_##minmax##_i16, ff_i16, int16_t, i, FF_AS_IS, FF_NEVER, OP)                 \
    FF_EXTREME_INT(ff_##minmax##_i32, ff_i32, int32_t, i, FF_AS_IS, FF_NEVER, OP)                 \
    FF_EXTREME_INT(ff_##minmax##_i64, ff_i64, int64_t, i, FF_AS_IS, FF_NEVER, OP)                 \
    FF_EXTREME_INT(ff_##minmax##_u8, ff_u8, uint8_t, u, FF_AS_IS, FF_NEVER, OP)                   \
    FF_EXTREME_INT(ff_##minmax##_u16, ff_u16, uint16_t, u, FF_AS_IS, FF_NEVER, OP)                \
    FF_EXTREME_INT(ff_##minmax##_u32, ff_u32, uint32_t, u, FF_AS_IS, FF_NEVER, OP)                \
    FF_EXTREME_INT(ff_##minmax##_u64, ff_u64, uint64_t, u, FF_AS_IS, FF_NEVER, OP)                \
    FF_EXTREME_INT(ff_##minmax##_f16, ff_i16, int16_t, i, FF_KEY_16, FF_NAN_16, OP)               \
    FF_EXTREME_INT(ff_##minmax##_f32, ff_i32, int32_t, i, FF_KEY_32, FF_NAN_32, OP)               \
    FF_EXTREME_INT(ff_##minmax##_f64, ff_i64, int64_t, i, FF_KEY_64, FF_NAN_64, OP)               \
    FF_EXTREME_INT(ff_##minmax##_time, ff_i64, int64_t, i, TIME_KEY, FF_NEVER, OP)

FF_EXTREME_INTS(min, <, FF_AS_IS)
FF_EXTREME_INTS(max, >, FF_TIME_KEY)

/* long double: no vectors, so the sign of a zero is looked at directly (-0.0 is the lesser one).
   */
#define FF_EXTREME_LONG(name, OP, SIGN)                                                           \
    FF_BODY void name##_body(void *state, const char *events, int64_t n) {                        \
        ff_extreme *extreme = state;                                                              \
        const ff_flong *x = (const ff_flong *) events;                                            \
        for (int64_t j = 0; j < n; j++) {                                                         \
            long double value = x[j];                                                             \
            extreme->nan |= value != value;                                                       \
            if (!extreme->any || value OP extreme->g[0]                                           \
                || (value == extreme->g[0] && (SIGN signbit(value))))                             \
                extreme->g[0] = value;                                                            \
            extreme->any = 1;                                                                     \
        }                                                                                         \
    }                                                                                             \
    FF_MAKE_CONSUME(name)

FF_EXTREME_LONG(ff_min_flong, <, !!)
FF_EXTREME_LONG(ff_max_flong, >, !)

/* Complex numbers in the order of NumPy: by real part, then by imaginary part; the first of equals
   stays, and so does the first with a NaN in either part. */
#define FF_EXTREME_COMPLEX(name, type, field, OP)                                                 \
    FF_BODY void name##_body(void *state, const char *events, int64_t n) {                        \
        ff_extreme *extreme = state;                                                              \
        const type *x = (const type *) events;                                                    \
        for (int64_t j = 0; j < n && !extreme->nan; j++) {                                        \
            type re = x[2 * j], im = x[2 * j + 1];                                                \
            extreme->nan = re != re || im != im;                                                  \
            if (!extreme->any || extreme->nan || re OP extreme->field[0]                          \
                || (re == extreme->field[0] && im OP extreme->field[1])) {                        \
                extreme->field[0] = re;                                                           \
                extreme->field[1] = im;                                                           \
            }                                                                                     \
            extreme->any = 1;                                                                     \
        }                                                                                         \
    }                                                                                             \
    FF_MAKE_CONSUME(name)

FF_EXTREME_COMPLEX(ff_min_c64, ff_f32, d, <)
FF_EXTREME_COMPLEX(ff_max_c64, ff_f32, d, >)
FF_EXTREME_COMPLEX(ff_min_c128, ff_f64, d, <)
FF_EXTREME_COMPLEX(ff_max_c128, ff_f64, d, >)
FF_EXTREME_COMPLEX(ff_min_clong, ff_flong, g, <)
FF_EXTREME_COMPLEX(ff_max_clong, ff_flong, g, >)

/* The number behind a key, for float16, float32 and float64: keys are their own inverse. */
static inline double ff_from_key(int type, int64_t key) {
    int64_t bits = FF_KEY_64(key);
    int32_t bits_32 = (int32_t) FF_KEY_32((int32_t) key);
    double value;
    float value_32;
    memcpy(&value, &bits, 8);
    memcpy(&value_32, &bits_32, 4);
    if (type == FF_F16)
        return ff_from_half((uint16_t) FF_KEY_16((int16_t) key));
    return type == FF_F32 ? (double) value_32 : value;
}

static const ff_consume ff_minima[FF_TYPES][FF_LEVELS] = {
    FF_NUMBERS(ff_min), [FF_TIME] = FF_ALL_LEVELS(ff_min_time)};
static const ff_consume ff_maxima[FF_TYPES][FF_LEVELS] = {
    FF_NUMBERS(ff_max), [FF_TIME] = FF_ALL_LEVELS(ff_max_time)};

static inline ff_consume ff_min_of(int type, int level) { return ff_minima[type][level]; }
static inline ff_consume ff_max_of(int type, int level) { return ff_maxima[type][level]; }

#endif /* FF_KERNEL_LOOPS */
