/* Memory: aligned blocks from the system, and how much of it is left.
 *
 * The pool in `_core` keeps free blocks; only what it does not have comes from here.
 */
#ifndef FASTFLOW_MEMORY_H
#define FASTFLOW_MEMORY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/resource.h>
#include <unistd.h>
#endif

/* Columns start on a cache line, so that no two of them share one and vector loads never split one. */
#define FF_ALIGNMENT 64

/* A block of `bytes`, aligned to FF_ALIGNMENT, or NULL. */
static inline void *ff_memory_take(int64_t bytes)
{
    void *block = NULL;
    if (bytes <= 0 || (uint64_t)bytes > (uint64_t)SIZE_MAX - FF_ALIGNMENT)
        return NULL;
#if defined(_WIN32)
    return _aligned_malloc((size_t)bytes, FF_ALIGNMENT);
#else
    return posix_memalign(&block, FF_ALIGNMENT, (size_t)bytes) ? NULL : block;
#endif
}

static inline void ff_memory_give(void *block)
{
#if defined(_WIN32)
    _aligned_free(block);
#else
    free(block);
#endif
}

/* First number in a small file of /sys or /proc, or -1 (no file, or "max"). */
static inline int64_t ff_memory_file(const char *path)
{
    long long value = -1;
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    if (fscanf(f, "%lld", &value) != 1)
        value = -1;
    fclose(f);
    return (int64_t)value;
}

/* Bytes that this process may still take, and the limit they are counted against: the tightest of the control
 * group, RLIMIT_AS and the physical memory.  Both INT64_MAX where nothing is known. */
static inline void ff_memory_left(int64_t *left, int64_t *limit)
{
    *left = *limit = INT64_MAX;
#if defined(__linux__)
    long long total_pages = 0, resident_pages = 0;
    int64_t page = sysconf(_SC_PAGESIZE), physical = sysconf(_SC_PHYS_PAGES) * page;
    struct rlimit space;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f) {
        if (fscanf(f, "%lld %lld", &total_pages, &resident_pages) != 2)
            total_pages = resident_pages = 0;
        fclose(f);
    }
    *limit = physical;
    *left = physical - resident_pages * page;
    int64_t group = ff_memory_file("/sys/fs/cgroup/memory.max");
    int64_t used = ff_memory_file("/sys/fs/cgroup/memory.current");
    if (group > 0 && used >= 0 && group - used < *left) {
        *limit = group;
        *left = group - used;
    }
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY
        && (int64_t)space.rlim_cur - total_pages * page < *left) {
        *limit = (int64_t)space.rlim_cur;
        *left = (int64_t)space.rlim_cur - total_pages * page;
    }
#endif
}

#endif
