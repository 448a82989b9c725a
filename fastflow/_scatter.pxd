# cython: language_level=3
"""C interface of partitions: the stable hash of events, what it says of where they go, and the copying there.

A commit goes through three steps, none of which touches a Python object::

    ids = ff_id_size(partitions) * n bytes, counts = partitions + 1 numbers
    hash.partition(-1, columns, n, partitions, ids, counts)         or ff_count_ids, for ids that a function gave
    ...                                                             room for counts[p] events in each partition p
    ff_scatter_column(columns[c], size, n, ids, partitions, targets)    for each column c

The id `partitions` stands for a discarded event: counts[partitions] says how many, and targets[partitions] is not used.
"""
from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "_scatter.h" nogil:
    enum ff_hash_kind:
        FF_HASH_BOOL, FF_HASH_INT, FF_HASH_UINT, FF_HASH_FLOAT, FF_HASH_COMPLEX, FF_HASH_BYTES, FF_HASH_TEXT
        FF_HASH_RAW
    const int64_t FF_SMALL_IDS
    const int64_t FF_FEW
    const uint64_t FF_HASH_SEED
    ctypedef struct ff_hash_field:
        int32_t kind
        int32_t padding
        int64_t size                # bytes of a value
        int64_t elements            # values an event

    # The fastest level of loops that this machine can run; every `level` is this or less.
    int ff_machine_level()

    uint64_t ff_hash_word(uint64_t word)
    uint64_t ff_hash_fold(uint64_t hash, uint64_t next)
    uint64_t ff_hash_bytes(const char *bytes, int64_t size, int raw)
    uint64_t ff_word_of_double(double value)
    int ff_hash_knows(int kind, int64_t size)
    void ff_hash_events(
        int level, const ff_hash_field *fields, int32_t count, char **columns, int64_t n, uint64_t *hashes)

    # Bytes of an id: 1 for up to FF_SMALL_IDS partitions, else 4.
    int64_t ff_id_size(int64_t partitions)

    # These fill ids and counts; partitions is 1 to 2**31 - 1.
    void ff_partition_events(
        int level, const ff_hash_field *fields, int32_t count, char **columns, int64_t n, int64_t partitions, void *ids,
        int64_t *counts)
    # By one column of one value an event; -1 if there is no hash for kind and size.
    int ff_partition_fixed(
        int level, int kind, const char *column, int64_t size, int64_t n, int64_t partitions, void *ids,
        int64_t *counts)
    void ff_partition_hashes(
        int level, const uint64_t *hashes, int64_t n, int64_t partitions, void *ids, int64_t *counts)
    # -1, or the position of the first number that is neither a partition nor -1; ids and counts are of no use then.
    int64_t ff_count_ids(const int64_t *given, int64_t n, int64_t partitions, void *ids, int64_t *counts)

    # Writes each event to targets[its id], which moves behind it.  For a commit in pieces, source and ids may start at
    # a later event.
    void ff_scatter_column(
        const char *source, int64_t size, int64_t n, const void *ids, int64_t partitions, char **targets)


cdef class EventHash:
    """How events of given columns are hashed: as a whole, or by one column."""
    cdef ff_hash_field *fields
    cdef readonly int32_t columns
    cdef int32_t level
    # Fills ids and counts by the column of this index, or by all for -1; columns as an ff_segment has them.
    cdef void partition(
        self, int32_t column, char **columns, int64_t n, int64_t partitions, void *ids, int64_t *counts) noexcept nogil
    cdef void hashes(self, int32_t column, char **columns, int64_t n, uint64_t *hashes) noexcept nogil


# Events that are Python objects, 8 bytes each.  TypeError names the position of one that has no stable hash.
cdef int hashes_of_list(list events, uint64_t *hashes) except -1
