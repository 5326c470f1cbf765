cimport cython

from longwire.core.inbox cimport Inbox
from longwire.core.protocol cimport Protocol
from longwire.heartbeat cimport Heartbeat

cdef class Session:
    cdef readonly bint client
    cdef readonly object limits
    cdef readonly object timeouts
    cdef readonly Protocol protocol
    cdef readonly Inbox inbox
    cdef readonly Heartbeat heartbeat
    cdef public int flags
    cdef readonly int ending
    cdef readonly object ended
    cdef public bint ends_with_tcp
    cdef public bint raw_control
    cdef public tuple kinds
    cdef readonly bint tcp_lost
    cdef readonly bint reader_waiting
    cdef public bint streaming
    cdef readonly bint holding
    cdef readonly bint dropping
    cdef readonly bint wants_reading
    cdef readonly bint got_eof
    cdef readonly bint writable
    cdef readonly bint fragmenting
    cdef readonly int senders
    cdef public object outbox
    cdef public Py_ssize_t dropped
    cdef readonly object taken
    cdef object pending_pong
    cdef list pongs
    cdef double ping_second
    cdef int ping_count
    cdef readonly double opened_at
    cdef readonly double last_receive
    cdef readonly double grace_by
    cdef readonly double close_by
    cdef readonly double write_by
    cdef readonly object fault
    cdef readonly object peer_close
    cdef readonly object closing_cause
    cdef readonly object error

    cpdef bint end_is_known(self)
    cpdef int take_flags(self)
    cpdef receive(self, data, double now)
    cdef _pump(self, double now)
    cdef _handle(self, tuple event, double now)
    cpdef take_control(self, int kind, payload, double now)
    cdef bint _must_hold(self)
    cdef bint _must_drop(self)
    cpdef tuple take(self)
    cpdef take_piece(self)
    cpdef wait(self, double now)
    cpdef stop_waiting(self)
    cpdef send(self, int opcode, payload, bint fin, bint compress)
    cpdef bint send_encoded(self, bytes frame, Py_ssize_t unsent, double now) except -1
    @cython.locals(outbox=object)
    cpdef int offer(
        self, message, slow, key, Py_ssize_t unsent, double now
    ) except -1
    cdef int _send_shared(self, message, Py_ssize_t unsent, double now) except -1
    cdef _refill(self)
    cpdef bytes take_output(self)
    cpdef bytes take_due_output(self)
