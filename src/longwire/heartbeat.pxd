cdef class Heartbeat:
    cdef public object interval
    cdef public object timeout
    cdef readonly object random_bytes
    cdef public double latency
    cdef public double ping_at
    cdef public double pong_by
    cdef public double loop_stall
    cdef dict _waiting
    cdef bytes _beat
    cdef double _beat_at
    cdef object _ahead
    cdef object _taken
    cdef bint _extended

    cpdef answered(self, bytes payload, double now)
    cdef _beat_answered(self)
    cpdef take_waiters(self)
    cpdef stop(self)
    cpdef beat(self, double now, written, unsent)
