cimport cython


cdef dict _POOL
cdef int _POOLED
cdef Py_ssize_t _LONG


@cython.final
cdef class Stream:
    cdef readonly Py_ssize_t messages
    cdef readonly bint open
    cdef object _deflater

    @cython.locals(data=bytes)
    cpdef bytes compress(self, payload)
    cpdef end(self)


@cython.final
cdef class Codec:
    cdef readonly Py_ssize_t min_size
    cdef readonly int our_bits
    cdef readonly int peer_bits
    cdef readonly bint keeps_ours
    cdef readonly bint keeps_theirs
    cdef readonly tuple kind
    cdef readonly Stream shared
    cdef readonly Py_ssize_t shared_at
    cdef readonly int shared_run
    cdef bint _pooled
    cdef object _decompressobj
    cdef object _deflater
    cdef object _inflater
    cdef bytearray _window
    cdef int _ends
    cdef bint _ended_early

    cpdef bint should_compress(self, Py_ssize_t size) except -1
    @cython.locals(data=bytes)
    cpdef bytes compress(self, payload, bint fin)
    cdef _new_deflater(self)
    cpdef bint prefers_own(self, Py_ssize_t size) except -1
    cpdef bytes compress_for_many(self, bytes payload)
    cpdef bint follows(self, Stream stream, Py_ssize_t at) except -1
    cpdef share(self, Stream stream, Py_ssize_t at)
    cpdef forget(self)
    @cython.locals(data=bytes, out=bytes)
    cpdef bytes decompress(self, bytes payload, bint fin, max_size)
    cdef _new_inflater(self)
    @cython.locals(out=bytes)
    cdef bytes _inflate(self, bytes data, budget)
    @cython.locals(piece=bytes, size=Py_ssize_t, pos=Py_ssize_t)
    cdef bytes _read_on(self, bytes out, bytes rest, bint fin, max_size)
    cdef _count_end(self)
    @cython.locals(size=Py_ssize_t)
    cdef _note(self, bytes out)
    cdef _end_message(self)


cdef _take(tuple kind)
cdef _give_back(tuple kind, deflater)
