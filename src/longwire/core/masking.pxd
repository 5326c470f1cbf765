from libc.stdint cimport uint32_t, uint64_t


cdef uint64_t xor_copy(
    unsigned char* to, const unsigned char* data, Py_ssize_t size, uint32_t key
) noexcept nogil
cpdef bytes apply_mask(bytes data, bytes mask, Py_ssize_t offset=*)
cpdef bytes unmask(bytes buf, Py_ssize_t start, Py_ssize_t size)
cpdef str unmask_text(bytes buf, Py_ssize_t start, Py_ssize_t size)
cpdef bytes build_frame(int first, object payload, bytes keys, Py_ssize_t at)
cpdef bytes build_header(
    int first, unsigned long long size, bytes keys, Py_ssize_t at
)
cpdef str read_text(bytes buf, Py_ssize_t start, Py_ssize_t size)
cpdef read_ascii(bytes buf, Py_ssize_t start, Py_ssize_t size, bint masked)
