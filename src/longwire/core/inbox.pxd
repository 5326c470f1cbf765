cimport cython

from longwire.core.footprint cimport memory_of


cdef Py_ssize_t _UNLIMITED
cdef Py_ssize_t _MOST_TAKEN
cdef Py_ssize_t _PIECE


cdef class Inbox:
    cdef tuple _oldest
    cdef list _rest
    cdef Py_ssize_t _first
    cdef readonly Py_ssize_t count
    cdef public Py_ssize_t high
    cdef public Py_ssize_t low
    cdef public Py_ssize_t most
    cdef public Py_ssize_t size
    cdef public Py_ssize_t whole

    @cython.locals(size=Py_ssize_t)
    cpdef add(self, tuple piece)
    @cython.locals(piece=tuple)
    cpdef tuple take_piece(self)
    @cython.locals(rest=list, at=Py_ssize_t)
    cpdef put_back(self, tuple piece)
    @cython.locals(
        piece=tuple, message=tuple, parts=list, rest=list, at=Py_ssize_t,
        size=Py_ssize_t, fin=bint,
    )
    cpdef tuple take(self)
    @cython.locals(
        rest=list, left=Py_ssize_t, left_whole=Py_ssize_t, left_size=Py_ssize_t,
        at=Py_ssize_t, end=Py_ssize_t,
    )
    cdef _remove(self, Py_ssize_t pieces, Py_ssize_t size, bint whole)
    cpdef Py_ssize_t clear(self) except -1
    cpdef bint is_full(self)
    cpdef bint is_heavy(self)
    cpdef bint is_roomy(self)
