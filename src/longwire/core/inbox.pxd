cdef class Inbox:
    cdef public object pieces
    cdef public Py_ssize_t high
    cdef public Py_ssize_t low
    cdef public Py_ssize_t most
    cdef public Py_ssize_t size
    cdef public Py_ssize_t whole

    cpdef add(self, tuple piece)
    cpdef tuple take_piece(self)
    cpdef tuple take(self)
    cpdef bint is_full(self)
    cpdef bint is_heavy(self)
    cpdef bint is_roomy(self)
