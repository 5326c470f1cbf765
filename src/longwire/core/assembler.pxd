cimport cython

from longwire.core.deflate cimport Codec
from longwire.core.frames cimport FrameReader
from longwire.core.held cimport Held, decode_part


cdef int _CONT
cdef int _TEXT
cdef long long _UNLIMITED


@cython.final
cdef class Assembler:
    cdef readonly long long max_message
    cdef readonly long long max_fragment
    cdef readonly long long max_fragments
    cdef readonly Codec codec
    cdef readonly int kind
    cdef readonly bint open
    cdef readonly bint compressed
    cdef readonly long long size
    cdef readonly long long frame_size
    cdef readonly long long fragments
    cdef readonly Held held
    cdef readonly bytes tail

    cpdef begin(self, int opcode, bint compressed, long long size)
    cpdef check_size(self, long long size)
    @cython.locals(left="long long")
    cpdef budget(self)
    cpdef bint is_plain_text(self, bint fin) except -1
    cpdef str whole_text(self, FrameReader reader)
    @cython.locals(payload=bytes)
    cpdef add(self, FrameReader reader)
    @cython.locals(fin=bint)
    cpdef tuple finish(self, FrameReader reader)
    cpdef tuple finish_with(self, bytes payload, bint fin)
    cpdef clear(self)
    cpdef Py_ssize_t waiting(self)
    cdef _count(self, Py_ssize_t size)
    @cython.locals(left="long long", whole=bint)
    cdef bytes _inflate(self, bytes payload, bint fin)
    cdef tuple _piece(self, bytes payload, bint fin)
    @cython.locals(payload=bytes)
    cdef tuple _finish_held(self, FrameReader reader, Held held, bint fin)
