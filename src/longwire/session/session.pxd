cimport cython

from longwire.core.inbox cimport Inbox
from longwire.core.protocol cimport Protocol
from longwire.session.closing cimport Closing
from longwire.session.intake cimport Intake
from longwire.session.progress cimport Progress


cdef int _MESSAGE
cdef int _OUTPUT
cdef int _STATE
cdef int _READING
cdef int _CONTINUE
cdef int _DRY
cdef int _FULL
cdef int _SPENT
cdef int _ANSWERING
cdef int _ENDED
cdef int _UNREAD
cdef Py_ssize_t _CORK


cdef class Session(Closing):
    cdef readonly Inbox inbox
    cdef readonly bint wants_reading
    cdef readonly bint writable
    cdef readonly bint fragmenting
    cdef readonly int senders
    cdef readonly Py_ssize_t most_unsent
    cdef readonly Progress progress
    cdef object pending_pong
    cdef readonly double opened_at
    cdef readonly double last_receive
    cdef readonly double told
    cdef readonly object mistake

    cpdef int take_flags(self)
    @cython.locals(intake=Intake)
    cpdef receive(self, bytes data, double now)
    @cython.locals(intake=Intake, event=tuple)
    cdef _pump(self, double now)
    cpdef take_control(self, int kind, payload, double now)
    cpdef tuple take(self)
    cpdef take_piece(self)
    @cython.locals(grace_by=double, close_by=double)
    cdef _read_on(self)
    cpdef wait(self, double now)
    cpdef stop_waiting(self)
    cpdef send(self, int opcode, payload, bint fin, bint compress)
    @cython.locals(waiting=Py_ssize_t, too_much=bint)
    cpdef bint send_encoded(self, bytes frame, Py_ssize_t unsent, double now) except -1
    cpdef int offer(
        self, message, slow, key, Py_ssize_t unsent, double now
    ) except -1
    cpdef bytes take_output(self)
    cpdef bytes take_due_output(self)
    cpdef double next_deadline(self) except? -1.0
    cpdef tick(self, double now, Py_ssize_t unsent)
