from longwire.core.protocol cimport Protocol
from longwire.session.intake cimport Intake
from longwire.session.keepalive cimport Heartbeat


cdef double _NEVER
cdef int _OPEN
cdef int _ANSWERING
cdef int _CLOSING
cdef int _ENDED
cdef int _UNREAD
cdef int _ABANDONED
cdef int _GONE


cdef class Closing:
    cdef readonly bint client
    cdef readonly object limits
    cdef readonly object timeouts
    cdef readonly Protocol protocol
    cdef readonly Intake intake
    cdef readonly Heartbeat heartbeat
    cdef public int flags
    cdef public object outbox
    cdef public Py_ssize_t dropped
    cdef readonly int phase
    cdef readonly bint can_send
    cdef readonly int ending
    cdef readonly object ended
    cdef public bint ends_with_tcp
    cdef public tuple kinds
    cdef readonly bint got_eof
    cdef bint handing_over
    cdef readonly bint undated
    cdef readonly double grace_by
    cdef readonly double close_by
    cdef readonly object fault
    cdef readonly object peer_close
    cdef readonly object closing_cause
    cdef readonly object error
    cdef readonly object loss

    cpdef bint end_is_known(self)
    cpdef reach_end(self, double now)
    cpdef end_input(self)
    cdef _move(self, int phase)
    cdef _report(self, cause, detail, double now)
    cdef _hang_up(self, int ending)
    cdef _set_close_deadline(self, double now)
    cdef double _patience(self) except -1.0
    cdef _end_outbox(self)
    cdef _defer(self, double now)
