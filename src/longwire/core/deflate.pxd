cimport cython


cdef dict _POOL
cdef int _POOLED
cdef Py_ssize_t _LONG
cdef Py_ssize_t _SLICE
cdef Py_ssize_t _UNLIMITED
cdef Py_ssize_t _END
cdef int _MAX_ENDS


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
    cdef public Py_ssize_t allowance
    cdef readonly bint pending
    cdef bytes _input
    cdef Py_ssize_t _at
    cdef bint _fin
    cdef object _decompressobj
    cdef object _deflater
    cdef object _inflater
    cdef bytearray _window
    cdef int _ends
    cdef bint _ended_early

    cpdef bint should_compress(self, Py_ssize_t size) except -1
    cpdef bytes compress(self, payload, bint fin)
    @cython.locals(data=bytes)
    cdef bytes _compress(self, payload, bint fin)
    cdef _new_deflater(self)
    cpdef bint prefers_own(self, Py_ssize_t size) except -1
    cpdef bytes compress_for_many(self, bytes payload)
    cpdef bint follows(self, Stream stream, Py_ssize_t at) except -1
    cpdef share(self, Stream stream, Py_ssize_t at)
    cpdef forget(self)
    cpdef bytes decompress(self, bytes payload, bint fin, max_size)
    @cython.locals(left=Py_ssize_t, out=bytes, parts=list)
    cpdef bytes go_on(self, max_size)
    cpdef Py_ssize_t waiting(self)
    cpdef stop(self)
    @cython.locals(bits=int)
    cdef _new_inflater(self)
    @cython.locals(data=bytes, out=bytes, limit=Py_ssize_t)
    cdef bytes _inflate(self, Py_ssize_t left)
    cdef _begin_anew(self)
    @cython.locals(limit=Py_ssize_t)
    cdef Py_ssize_t _limit(self, Py_ssize_t left)
    cdef _spend(self, Py_ssize_t amount)
    cdef _count_end(self)
    @cython.locals(size=Py_ssize_t)
    cdef _note(self, bytes out)
    cdef _end_message(self)


cdef _take(tuple kind)
cdef _give_back(tuple kind, deflater)
