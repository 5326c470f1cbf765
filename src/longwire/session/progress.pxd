cdef class Progress:
    cdef readonly object timeout
    cdef readonly double by
    cdef object _taken

    cpdef begin(self, double now)
    cpdef stop(self)
    cpdef bint is_stuck(self, double now, taken) except -1
