cimport cython


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

    cpdef add(self, tuple piece)
    cpdef tuple take_piece(self)
    @cython.locals(rest=list, piece=tuple)
    cdef tuple _next(self)
    cpdef tuple take(self)
    cpdef bint is_full(self)
    cpdef bint is_heavy(self)
    cpdef bint is_roomy(self)
