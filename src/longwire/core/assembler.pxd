cimport cython

from longwire.core.deflate cimport Codec
from longwire.core.frames cimport FrameReader
from longwire.core.partial cimport Held, decode_part


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
    cdef bint _inflating

    cpdef begin(self, int opcode, bint compressed, long long size)
    cpdef check_size(self, long long size)
    @cython.locals(left="long long")
    cpdef budget(self)
    cpdef bint is_plain_text(self, bint fin) except -1
    cpdef str whole_text(self, FrameReader reader)
    cpdef add(self, FrameReader reader)
    @cython.locals(payload=bytes)
    cpdef tuple go_on(self, bint fin)
    @cython.locals(fin=bint)
    cpdef tuple finish(self, FrameReader reader)
    cpdef tuple finish_with(self, bytes payload, bint fin)
    cpdef clear(self)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t waiting(self)
    @cython.locals(size=Py_ssize_t)
    cpdef Py_ssize_t memory(self) except -1
    cdef _count(self, Py_ssize_t size)
    cdef bytes _inflate(self, bytes payload, bint fin)
    @cython.locals(payload=bytes)
    cdef bytes _inflate_on(self)
    @cython.locals(left="long long", other="long long")
    cdef long long _left(self)
    cdef _too_big(self)
    cdef _hold(self, bytes payload, long long more)
    cdef tuple _finish_inflated(self, bytes payload, bint fin)
    cdef tuple _piece(self, bytes payload, bint fin)
    cdef tuple _finish_held(self, FrameReader reader, Held held, bint fin)
    cdef tuple _give_held(self, Held held, bint fin)
