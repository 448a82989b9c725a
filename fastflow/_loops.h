/* _loops.h: what all loops over events share: memory of any alignment, levels, halves.

   A level is a generation of processors that a loop is compiled for, and chosen by at run time:
   -march=native can't be shipped, and a table of pointers needs no ifunc, which sanitizers and
   musl don't have.  All levels give the same bits. */

#ifndef FASTFLOW_LOOPS_H
#define FASTFLOW_LOOPS_H

#include <stdint.h>
#include <string.h>

#ifdef __FAST_MATH__
#error "fastflow: compensated sums and NaN need IEEE arithmetic; build without -ffast-math"
#endif

/* -- memory of any alignment, and levels -- */

#define FF_ANYWHERE __attribute__((aligned(1), may_alias))
typedef int8_t ff_i8 FF_ANYWHERE;
typedef int16_t ff_i16 FF_ANYWHERE;
typedef int32_t ff_i32 FF_ANYWHERE;
typedef int64_t ff_i64 FF_ANYWHERE;
typedef uint8_t ff_u8 FF_ANYWHERE;
typedef uint16_t ff_u16 FF_ANYWHERE;
typedef uint32_t ff_u32 FF_ANYWHERE;
typedef uint64_t ff_u64 FF_ANYWHERE;
typedef float ff_f32 FF_ANYWHERE;
typedef double ff_f64 FF_ANYWHERE;
typedef long double ff_flong FF_ANYWHERE;

#define FF_BODY static inline __attribute__((always_inline))

/* Without it GCC leaves one vector a turn of the loop, and the loop's own instructions bound it.
   */
#define FF_UNROLL _Pragma("GCC unroll 4")

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define FF_X86 1
#define FF_AVX2 __attribute__((target("avx2")))
#define FF_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#else
#define FF_X86 0
#define FF_AVX2
#define FF_AVX512
#endif
enum { FF_LEVELS = 3 };
/* The level of this machine: 0 plain, 1 AVX2, 2 AVX-512 with VNNI (Cascade Lake, Zen 4, later). */
static inline int ff_machine_level(void) {
#if FF_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512vnni"))
        return 2;
    if (__builtin_cpu_supports("avx2"))
        return 1;
#endif
    return 0;
}

/* -- halves: float16 has no portable C type -- */

/* By way of float, exactly, and without a branch so that it vectorises: a subnormal m * 2**-24 is
   written as (1024 + m) * 2**-24, and 1024 * 2**-24 taken off again. */
static inline double ff_from_half(uint16_t half) {
    uint32_t rest = half & 0x7fffu, sign = (half & 0x8000u) << 16;
    uint32_t base = rest < 0x400u ? 0x38800000u : rest < 0x7c00u ? 0x38000000u : 0x70000000u;
    uint32_t bits = sign | ((rest << 13) + base);
    uint32_t excess_bits = sign | (rest < 0x400u ? 0x38800000u : 0);
    float value, excess;
    memcpy(&value, &bits, 4);
    memcpy(&excess, &excess_bits, 4);
    value -= excess;
    memcpy(&bits, &value, 4);
    bits |= sign;                                           /* -0.0 - -0.0 is 0.0 */
    memcpy(&value, &bits, 4);
    return (double) value;
}

/* Rounds to nearest, ties to even, straight from double: by way of float it would round twice. */
static inline uint16_t ff_to_half(double value) {
    uint64_t bits, mantissa, lost, tie;
    uint32_t sign, half;
    int exponent, shift = 42;
    memcpy(&bits, &value, 8);
    sign = (uint32_t) (bits >> 48) & 0x8000u;
    exponent = (int) (bits >> 52 & 2047);
    mantissa = bits & 0xfffffffffffffull;
    if (exponent == 2047)
        return (uint16_t) (sign | (mantissa ? 0x7e00u : 0x7c00u));
    exponent -= 1008;
    if (exponent > 30)
        return (uint16_t) (sign | 0x7c00u);
    if (exponent <= 0) {                                    /* subnormal: in units of 2**-24 */
        if (exponent < -11)
            return (uint16_t) sign;
        mantissa |= 1ull << 52;
        shift = 43 - exponent;
        exponent = 0;
    }
    half = ((uint32_t) exponent << 10) + (uint32_t) (mantissa >> shift);
    lost = mantissa & ((1ull << shift) - 1);
    tie = 1ull << (shift - 1);
    half += lost > tie || (lost == tie && (half & 1));      /* a carry to the exponent is right */
    return (uint16_t) (sign | half);
}

#endif /* FASTFLOW_LOOPS_H */
