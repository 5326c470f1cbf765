cimport cython

from longwire.core.deflate cimport Codec
from longwire.core.inbox cimport Inbox
from longwire.core.protocol cimport Protocol


cdef int _DRY
cdef int _FULL
cdef int _SPENT
cdef Py_ssize_t _AT_ONCE


cdef class Intake:
    cdef readonly Protocol protocol
    cdef readonly Inbox inbox
    cdef readonly int waits
    cdef public bint reader_waiting
    cdef public bint streaming
    cdef public bint raw_control
    cdef public bint finishes
    cdef public bint held
    cdef public bint ended
    cdef public bint leaving
    cdef readonly bint dropping
    cdef public Py_ssize_t dropped
    cdef public bint grew
    cdef public int frames
    cdef public Py_ssize_t inflated
    cdef int _left

    @cython.locals(codec=Codec)
    cpdef begin_turn(self, bint anew)
    @cython.locals(codec=Codec, event=tuple, kind=int)
    cpdef tuple advance(self)
    @cython.locals(inbox=Inbox, goes_on=bint)
    cpdef bint must_wait(self) except -1
    @cython.locals(most=Py_ssize_t)
    cdef bint _is_heavy(self) except -1
    cdef _add(self, tuple event)
    cdef _add_control(self, tuple event)
    cpdef stop(self)
    cpdef forget(self)
    cpdef Py_ssize_t memory(self) except -1
