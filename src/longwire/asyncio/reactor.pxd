from cpython.object cimport PyObject
from libc.stdint cimport uint64_t


cdef extern from "poller.h" nogil:
    ctypedef struct lw_event:
        uint64_t tag
        int events


cdef enum:
    EVENTS = 64  # taken from the poller at one time


cdef class Receiver:
    cdef bint is_due

    cdef int take_bytes(self, bytes data, double now, bint direct) except -1
    cdef int flush(self) except -1


cdef class Reactor:
    cdef object __weakref__
    cdef readonly object loop
    cdef readonly double now
    cdef int _poller
    cdef list _members
    cdef Py_ssize_t _count
    cdef unsigned int _generation
    cdef PyObject* _spare
    cdef bint working
    cdef list _due
    cdef bint _direct
    cdef bint _foreign
    cdef lw_event _events[EVENTS]
    cdef int _found
    cdef int _next

    cdef PyObject* buffer(self) except NULL
    cdef bytes take_buffer(self, Py_ssize_t size)
    cdef int enter(self, Descriptor member, int interest) except -1
    cdef int leave(self, Descriptor member) except -1
    cdef int change(self, Descriptor member, int interest) except -1
    cdef int cork(self, Receiver receiver) except -1
    cdef int _work(self) except -1
    cdef int _flush(self) except -1
    cdef int _complain(self, whose, exc) except -1
    cdef int _tend(self, Descriptor member, int events) except -1


cdef class Descriptor:
    cdef readonly Reactor reactor
    cdef readonly int fd
    cdef int interest
    cdef uint64_t tag

    cdef int ready(self, int events) except -1


cdef class Socket(Descriptor):
    cdef public Receiver receiver
    cdef readonly bint closing
    cdef bint _half_closing
    cdef bint _broken
    cdef bint _got_eof
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
    cdef object _sockname

    cpdef write(self, bytes data)
    cdef int write_pieces(self, list given) except -1
    cdef int _enqueue(self, bytes data, Py_ssize_t done) except -1
    cdef int _flush(self) except -1
    cdef int _sent(self, Py_ssize_t size) except -1
    cdef int _fail_writing(self, int error) except -1
    cdef int _read(self) except -1
    cdef int _want(self) except -1
    cdef int _end(self, exc) except -1


cdef class Listener(Descriptor):
    cdef object _accepted
    cdef object _again
    cdef bint _told
