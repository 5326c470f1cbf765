cimport cython

from longwire.core.deflate cimport Codec, Stream
from longwire.core.protocol cimport Protocol
from longwire.session.session cimport Session


cdef class _Part:
    cdef readonly Py_ssize_t at
    cdef readonly bytes data
    cdef readonly bytes frame
    cdef readonly Stream stream


cdef class Forms:
    cdef readonly int opcode
    cdef readonly bytes payload
    cdef object _random_bytes
    cdef bytes _plain
    cdef dict _alone
    cdef dict _next
    cdef dict _first
    cdef dict _streams
    cdef bint _settled

    @cython.locals(frame=bytes)
    cpdef int offer_to(
        self, Session session, slow, key, Py_ssize_t unsent, double now
    ) except -1
    @cython.locals(protocol=Protocol, codec=Codec, part=_Part)
    cpdef bytes frame_for(self, Session session)
    cpdef settle(self)
    cdef bytes _masked(self, bytes data, int rsv)
    @cython.locals(part=_Part)
    cdef _Part _part_for(self, Codec codec)
    @cython.locals(stream=Stream, part=_Part)
    cdef _Part _streamed(self, Codec codec)
    cdef _Part _own(self, Codec codec)
    @cython.locals(part=_Part)
    cdef _Part _anew(self, Codec codec)
    @cython.locals(part=_Part)
    cdef _Part _compress(self, tuple kind, Stream stream)
