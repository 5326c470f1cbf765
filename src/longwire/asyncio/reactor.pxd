from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

from longwire.asyncio.waiting cimport Waiter


cdef extern from "poller.h" nogil:
    ctypedef struct lw_event:
        uint64_t tag
        int events


cdef enum:
    EVENTS = 64  # taken from the poller at one time
    READ_SIZE = 65536
    LEAST_READ = 4096


cdef class Receiver:
    cdef bint is_due

    cdef int take_bytes(self, bytes data, double now, bint direct) except -1
    cdef int flush(self) except -1


cdef class Descriptor  # below


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
    cdef object _paused
    cdef object _again
    cdef lw_event _events[EVENTS]
    cdef int _found
    cdef int _next
    cdef bint _has_left
    cdef Descriptor _single
    cdef int _streak
    cdef int _guesses
    cdef int _hope
    cdef int _missed

    cdef PyObject* buffer(self) except NULL
    cdef bytes take_buffer(self, Py_ssize_t size)
    cdef int enter(self, Descriptor member, int interest) except -1
    cdef int leave(self, Descriptor member, bint is_shared) except -1
    cdef int change(self, Descriptor member, int interest) except -1
    cdef int cork(self, Receiver receiver) except -1
    cdef Waiter pause(self)
    cdef int _resume(self) except -1
    cdef int _poll(self, bint again) except -1
    cdef bint _hopes(self) except -1
    cdef bint _guess(self, double start) except -1
    cdef int _take_next(self) except -1
    cdef int _go_on_soon(self) except -1
    cdef int _work(self) except -1
    cdef int _flush(self) except -1
    cdef int _complain(self, whose, exc) except -1
    cdef int _give_up(self, Descriptor member, exc) except -1
    cdef int _renew(self) except -1
    cdef int _tend(self, Descriptor member, int events) except -1


cdef class Descriptor:
    cdef readonly Reactor reactor
    cdef readonly int fd
    cdef int interest
    cdef uint64_t tag

    cdef int ready(self, int events) except -1
    cdef bint guess(self) except -1
    cdef int ease(self) except -1


cdef double clock() except? -1.0
cdef bint runs_task(loop) except -1
cdef object os_error(int error)
