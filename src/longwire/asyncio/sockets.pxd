from longwire.asyncio.reactor cimport Descriptor, Receiver


cdef class Socket(Descriptor):
    cdef public Receiver receiver
    cdef int _portion
    cdef readonly bint closing
    cdef bint _half_closing
    cdef bint _broken
    cdef bint _got_eof
    cdef bint _is_read
    cdef bint _paused
    cdef bint _full
    cdef list _queue
    cdef Py_ssize_t _head
    cdef Py_ssize_t _offset
    cdef readonly Py_ssize_t unsent
    cdef Py_ssize_t _high
    cdef Py_ssize_t _low
    cdef object _sock
    cdef bint _lent
    cdef public bint is_shared
    cdef object _last_name

    cpdef write(self, bytes data)
    cdef int write_pieces(self, list given) except -1
    cdef int _enqueue(self, bytes data, Py_ssize_t done) except -1
    cdef int _flush(self) except -1
    cdef int _sent(self, Py_ssize_t size) except -1
    cdef int _fail_writing(self, int error) except -1
    cdef bint _has_input(self) except -1
    cdef bint guess(self) except -1
    cdef int ease(self) except -1
    cdef int _read(self) except -1
    cdef int _want(self) except -1
    cdef int _end(self, exc) except -1
    cdef int _close_descriptor(self) except -1


cdef class Listener(Descriptor):
    cdef object _accepted
    cdef object _hung_up
    cdef object _again
    cdef bint _told
    cdef bint _tcp
    cdef bint _looked
    cdef bint _inherits

    cdef bint _set_up(self, int fd)
