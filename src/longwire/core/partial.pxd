from cpython.object cimport PyObject


cdef class Held:
    cdef readonly Py_ssize_t size
    cdef readonly bytes tail
    cdef bint _text
    cdef PyObject* _whole
    cdef Py_ssize_t _room
    cdef Py_ssize_t _used
    cdef list _parts
    cdef Py_ssize_t _parts_memory

    cpdef add(
        self,
        bytes data,
        Py_ssize_t start,
        Py_ssize_t size,
        bytes key,
        Py_ssize_t offset,
        long long more,
    )
    cpdef Py_ssize_t memory(self) except -1
    cpdef take(self)
    cdef int _make_room(self, Py_ssize_t size, long long more) except -1
    cdef Py_ssize_t _add_ascii(
        self, const unsigned char* data, Py_ssize_t size, unsigned int key, long long more
    ) except -1
    cdef int _add_text(self, bytes piece) except -1
    cdef int _add_part(self, text) except -1
    cdef object _cut_whole(self)


cpdef tuple decode_part(bytes data)
