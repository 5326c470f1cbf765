from longwire.asyncio.reactor cimport Reactor, Receiver
from longwire.asyncio.sockets cimport Socket
from longwire.session.session cimport Session

cdef enum:
    # What an operation is doing.
    NEW = 0
    WAITING = 1
    DELEGATING = 2
    DONE = 3
    PAUSING = 4


cdef class Messaging(Receiver):
    cdef public Session _session
    cdef public object _wire
    cdef public object _loop
    cdef public object _now
    cdef public object _reader
    cdef public object _flush_soon
    cdef public object _taps
    cdef public double _open_by
    cdef public int _unbroken
    cdef public bint _receiving
    cdef Socket _native
    cdef Reactor _reactor
    cdef bint _corked
    cdef bint _direct
    cdef unsigned long _thread

    cdef bint is_here(self) except -1
    cdef int check_loop(self) except -1
    cdef double time(self) except? -1.0
    cdef int _wake_reader(self) except -1
    cdef int react(self) except -1
    cdef int write_due(self, Session session) except -1
    cdef Py_ssize_t unsent(self) except -1
    cdef int put(self, bytes data) except -1
    cdef int cast(self, Session session, message, slow, key) except -1
    cdef int send_now(self, Session session, int opcode, message, bint compress) except -1


cdef class Operation:
    cdef Messaging owner
    cdef object delegate
    cdef int state

    cdef finish(self)
    cdef step(self)
    cdef follow(self)


cdef void use_slots(kind)
