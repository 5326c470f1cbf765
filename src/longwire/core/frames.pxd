cimport cython
from libc.stdint cimport int64_t

from longwire.core.partial cimport Held
from longwire.core.masking cimport (
    apply_mask,
    build_frame,
    build_header,
    read_ascii,
    read_text,
    unmask,
    unmask_text,
)


cdef Py_ssize_t _SMALL


@cython.final
cdef class FrameReader:
    cdef readonly bint client
    cdef readonly int allowed_rsv
    cdef readonly int control_rsv
    cdef readonly int opcode
    cdef readonly bint fin
    cdef readonly int rsv
    cdef readonly long long size
    cdef readonly long long remaining
    cdef bytes _data
    cdef Py_ssize_t _pos
    cdef Py_ssize_t _end
    cdef bytearray _later
    cdef bytes _key
    cdef Py_ssize_t _offset

    @cython.locals(left=Py_ssize_t)
    cpdef feed(self, bytes data)
    cpdef clear(self)
    cpdef trim(self)
    cpdef Py_ssize_t unread(self)
    cpdef Py_ssize_t memory(self)
    @cython.locals(more=bint)
    cdef bint _refill(self) except -1
    cpdef bint read_header(self) except -1
    @cython.locals(
        data=bytes,
        pos=Py_ssize_t,
        first="unsigned char",
        second="unsigned char",
        opcode=int,
        rsv=int,
        size="long long",
        width=int,
    )
    cdef bint _parse(self) except -1
    cdef int _check_first_bytes(
        self, int opcode, int rsv, int first, int second
    ) except -1
    @cython.locals(length="unsigned long long", i=Py_ssize_t)
    cdef int64_t _read_length(self, bytes data, Py_ssize_t pos, int width) except -1
    cpdef bint is_whole(self) except -1
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t, payload=bytes)
    cpdef bytes take(self)
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cpdef str take_text(self)
    @cython.locals(size=Py_ssize_t)
    cpdef take_ascii(self)
    @cython.locals(start=Py_ssize_t, size=Py_ssize_t)
    cpdef Py_ssize_t move_to(self, Held held) except -1
    @cython.locals(size=Py_ssize_t)
    cpdef bint skip(self) except -1
    cdef _keep_key(self)


cpdef bytes encode(int opcode, bytes payload, bint fin=*, int rsv=*, bytes mask=*)
cpdef bytes header(
    int opcode, unsigned long long size, bint fin=*, int rsv=*, bytes mask=*
)
cpdef bint is_receivable_code(code) except -1
cpdef bint is_sendable_code(code) except -1
cpdef tuple parse_close(bytes payload)
cpdef bytes serialize_close(code, str reason=*)
