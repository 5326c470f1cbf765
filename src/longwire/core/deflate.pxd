cimport cython


@cython.final
cdef class Codec:
    cdef readonly int level
    cdef readonly int mem_level
    cdef readonly Py_ssize_t min_size
    cdef readonly int our_bits
    cdef readonly int peer_bits
    cdef readonly bint keeps_ours
    cdef readonly bint keeps_theirs
    cdef object _compressobj
    cdef object _decompressobj
    cdef object _deflater
    cdef object _inflater
    cdef bytearray _window
    cdef int _ends
    cdef bint _ended_early

    cpdef bint should_compress(self, Py_ssize_t size) except -1
    @cython.locals(data=bytes)
    cpdef bytes compress(self, payload, bint fin)
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
