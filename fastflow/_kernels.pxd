"""The loops of `_kernels.h`, for `_native.pyx` alone; what others may use is in `_native.pxd`."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from *:
    """
    #define FF_KERNEL_LOOPS
    #include "_kernels.h"
    """
    ctypedef int64_t (*ff_fill)(void *state, char *out, int64_t n) noexcept nogil
    ctypedef void (*ff_consume)(void *state, const char *events, int64_t n) noexcept nogil
    enum:
        FF_BOOL, FF_I8, FF_I16, FF_I32, FF_I64, FF_U8, FF_U16, FF_U32, FF_U64
        FF_F16, FF_F32, FF_F64, FF_FLONG, FF_C64, FF_C128, FF_CLONG, FF_TIME, FF_TYPES
    ctypedef struct ff_range_int:
        uint64_t next, step
        int64_t left
    ctypedef struct ff_range_float:
        double start[2]
        double step[2]
        int64_t i, left
    ctypedef struct ff_range_long:
        long double start[2]
        long double step[2]
        int64_t i, left
    ctypedef struct ff_total:
        int64_t high
        uint64_t low
    ctypedef struct ff_lanes:
        double *sum
        double *rest
    ctypedef struct ff_lanes_long:
        long double *sum
        long double *rest
    ctypedef struct ff_extreme:
        int64_t any, nan
        int64_t i
        uint64_t u
        double d[2]
        long double g[2]
    int ff_machine_level() noexcept nogil
    ff_fill ff_range_of(int type, int level) noexcept nogil
    ff_consume ff_sum_of(int type, int level) noexcept nogil
    ff_consume ff_min_of(int type, int level) noexcept nogil
    ff_consume ff_max_of(int type, int level) noexcept nogil
    void ff_count(void *state, const char *events, int64_t n) noexcept nogil
    int64_t ff_remaining_int(void *state) noexcept nogil
    int64_t ff_remaining_float(void *state) noexcept nogil
    int64_t ff_remaining_long(void *state) noexcept nogil
    double ff_lanes_total(
        const double *sums, const double *rests, int first, int stride) noexcept nogil
    void ff_lanes_long_result(
        const ff_lanes_long *lanes, int parts, long double *result) noexcept nogil
    double ff_from_key(int type, int64_t key) noexcept nogil
    bint ff_range_fits(int type, int64_t start, int64_t step, int64_t n) noexcept nogil
    int ff_check_float(const ff_range_float *range, int type, int64_t n) noexcept nogil
    int ff_check_long(const ff_range_long *range, int64_t n) noexcept nogil
