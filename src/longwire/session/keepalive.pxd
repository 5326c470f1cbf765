cdef class Heartbeat:
    cdef public object interval
    cdef public object timeout
    cdef readonly object random_bytes
    cdef public double latency
    cdef public double ping_at
    cdef public double pong_by
    cdef public double loop_stall
    cdef object _waiting
    cdef list _answered
    cdef double _second
    cdef int _counted
    cdef bytes _beat
    cdef double _beat_at
    cdef object _ahead
    cdef object _taken
    cdef bint _extended

    cpdef count(self, double now, allowed)
    cpdef bint answered(self, bytes payload, double now) except -1
    cdef _beat_answered(self)
    cpdef take_waiters(self)
    cpdef stop(self)
    cpdef due(self, double now)
    cpdef beat(self, bytes payload, double now, written, unsent)
