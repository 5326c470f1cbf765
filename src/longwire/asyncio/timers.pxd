cimport cython


cdef double _NEVER


cdef class Timers:
    cdef object __weakref__
    cdef object _loop
    cdef dict _buckets
    cdef list _order
    cdef object _due
    cdef object _handle
    cdef long long _waiting_for

    @cython.locals(deadline=double, bucket="long long", before="long long")
    cpdef arm(self, timed)
    cpdef disarm(self, timed)
    cdef _drop_empty(self)
    @cython.locals(first="long long")
    cdef _schedule(self)
    cdef _cancel(self)
    cdef _ask(self, timed, double now, loop)
