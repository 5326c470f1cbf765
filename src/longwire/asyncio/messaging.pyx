"""Messaging, compiled: see ``messaging.py`` for what it does.

Two things are different. ``recv()`` and ``send()`` return objects that behave like
coroutines, and say so to who asks, without being any; and the task that waits in ``recv()`` is resumed from the
callback that read its message, not in the next turn of the loop. asyncio takes anything
with ``_asyncio_future_blocking`` for a future, so what is awaited (an `Operation`) and
what it yields to the task (a `Waiter`) are two objects.
"""

import asyncio
import time
import types

from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_INCREF

from longwire.asyncio.reactor cimport clock, runs_task
from longwire.asyncio.waiting cimport (
    Waiter,
    as_exception,
    mark_as_coroutine,
    may_resume,
    owned,
    warn_unawaited,
)
from longwire.core.protocol cimport Protocol
from longwire.session.session cimport Session
from longwire.session.shared_frames cimport Forms

from ..connection import BytesLike, as_wanted
from ..errors import ConnectionClosedOK, InvalidState
from ..hints import no_timeout
from ..session.session import CORK, NEVER
from .standing import frame_of, recv, send, serving
from .usage import UNBROKEN, busy, elsewhere

__all__ = ["Messaging"]

cdef extern from "Python.h":
    ctypedef enum PySendResult:
        PYGEN_RETURN
        PYGEN_ERROR
        PYGEN_NEXT
    PySendResult PyIter_Send(PyObject* what, PyObject* value, PyObject** result)
    void PyErr_SetObject(PyObject* kind, PyObject* value)
    ctypedef PyObject* (*iternextfunc)(PyObject*)
    ctypedef PySendResult (*sendfunc)(PyObject*, PyObject*, PyObject**)
    ctypedef struct PyAsyncMethods:
        sendfunc am_send
    ctypedef struct SlottedType "PyTypeObject":
        iternextfunc tp_iternext
        PyAsyncMethods* tp_as_async

cdef enum:
    # Session's flags.
    MESSAGE = 1
    OUTPUT = 2
    HANGUP = 32
    # Opcodes.
    TEXT = 1
    BINARY = 2

cdef int _UNBROKEN = UNBROKEN
cdef Py_ssize_t _CORK = CORK
cdef object _running_loop = asyncio._get_running_loop
cdef object _monotonic = time.monotonic


cdef class Messaging(Receiver):
    """What of a connection is at work for each message."""

    def _begin(self, Session session, wire, now):
        """Join the session of an open connection and its wire."""
        self._session = session
        self._wire = wire
        self._native = wire if isinstance(wire, Socket) else None
        self._reactor = None if self._native is None else self._native.reactor
        self._loop = wire.loop
        self._now = now
        self._thread = PyThread_get_thread_ident()

    @property
    def _live(self):
        if self._session is None:
            raise InvalidState("the opening handshake is not complete")
        return self._session

    cdef int check_loop(self) except -1:
        """Raise ConcurrencyError outside of the connection's loop."""
        if not self.is_here():
            raise elsewhere()
        return 0

    cdef bint is_here(self) except -1:
        """Return whether the connection's loop is the one that runs here."""
        # asyncio's own question costs a system call in Python 3.11 (getpid); called
        # from within a read on the same thread, the answer is known.
        if (
            self._corked or (self._reactor is not None and self._reactor.working)
        ) and self._thread == PyThread_get_thread_ident():
            return True
        return _running_loop() is self._loop

    cdef double time(self) except? -1.0:
        """Return the time by the connection's clock."""
        return clock() if self._now is _monotonic else self._now()

    # --- from the wire -----------------------------------------------------------

    def feed(self, bytes data):
        """Bytes came. What they cause to be sent leaves in one write."""
        cdef bint direct = may_resume(self._loop) and not runs_task(self._loop)
        try:
            self.take_bytes(data, self.time(), direct)
        except (KeyboardInterrupt, SystemExit) as exc:
            if not direct:
                raise
            # A handler's, which is to end the loop's run. uvloop would take it for a
            # failure of a protocol's and do no more than log it.
            self._loop.call_soon(reraise_later, exc)

    cdef int take_bytes(self, bytes data, double now, bint direct) except -1:
        cdef Session session = self._session
        if self._taps is not None:
            self._taps[0](data)
        session.receive(data, now)
        if session.flags == 0:
            return 0
        self._corked = True
        self._direct = direct
        try:
            if session.flags == MESSAGE:
                # By far the most common: spare the way through react().
                session.flags = 0
                self._wake_reader()
            else:
                self.react()
        except BaseException:
            # A KeyboardInterrupt of the handler goes on to the loop; what was said
            # before it is still to be sent, and the rest of the flags to be obeyed.
            if self._flush_soon is None and not self._loop.is_closed():
                self._flush_soon = self._loop.call_soon(self._recover)
            raise
        finally:
            self._corked = False
            self._direct = False
        if session.protocol.output_size and not self.is_due:
            self.flush()
        return 0

    cdef int _wake_reader(self) except -1:
        cdef object reader = self._reader
        cdef bint direct = self._direct
        if reader is None:
            return 0
        if type(reader) is Waiter:
            # Whatever the task does, it must not have another one run inside it.
            self._direct = False
            (<Waiter>reader).wake(direct)
        elif not reader.done():
            reader.set_result(None)
        return 0

    # --- what the session asks for -----------------------------------------------

    def _react(self):
        """Do what the session's flags ask for, until there are none."""
        if self._session is not None:
            self.react()

    cdef int react(self) except -1:
        cdef Session session = self._session
        cdef int flags
        while session.flags:
            flags = session.flags
            session.flags = 0
            if flags & OUTPUT:
                self.write_due(session)
            if flags & HANGUP:
                # Before the reader is woken, whose handler then need not wait for it.
                flags &= ~HANGUP
                self._hang_up(session.ending)
            if flags & MESSAGE:
                try:
                    self._wake_reader()
                except BaseException:
                    session.flags |= flags & ~(OUTPUT | MESSAGE)
                    raise
            if flags & ~(OUTPUT | MESSAGE):
                self._react_to_rest(flags, session)
        return 0

    def _recover(self):
        """Go on where a handler was interrupted."""
        self._flush()
        self.react()

    def _write(self, Session session):
        """Write the output, unless more of it is certain to come at once."""
        self.write_due(session)

    cdef int write_due(self, Session session) except -1:
        cdef bytes data
        if session.protocol.output_size >= _CORK:
            return self.flush()
        if self._reactor is not None and self._reactor.working:
            # It leaves with what else this round of reads causes.
            return self._reactor.cork(self)
        if self._corked:
            return 0 if session.outbox is None else self.flush()
        data = session.take_due_output()
        if data:
            self.put(data)
            if session.outbox is not None:
                self.flush()
        elif self._flush_soon is None and session.protocol.output_size:
            self._flush_soon = self._loop.call_soon(self._flush)
        return 0

    def _flush(self):
        """Write all of the output now."""
        self._flush_soon = None
        if self._session is not None:
            self.flush()

    cdef int flush(self) except -1:
        cdef Protocol protocol = self._session.protocol
        cdef bytes data
        if protocol.output_large and self._native is not None and self._taps is None:
            self._native.write_pieces(protocol.take_pieces())
        data = self._session.take_output()
        while data:
            self.put(data)
            data = b"" if self._session.outbox is None else self._session.take_output()
        return 0

    cdef int put(self, bytes data) except -1:
        if self._taps is not None:
            self._taps[1](data)
        if self._native is not None:
            self._native.write(data)
        else:
            self._wire.write(data)
        return 0

    # --- from the timers ---------------------------------------------------------

    def next_deadline(self):
        """Return when ``tick`` is due; for the timers."""
        if self._session is None:
            return self._open_by or NEVER
        return self._session.next_deadline()

    def tick(self, double now):
        """Do what is due; for the timers."""
        cdef Session session = self._session
        if session is None:
            self._open_by = 0
            self._end_opening()
            return
        session.tick(now, self.unsent())
        if session.flags:
            self.react()

    cdef Py_ssize_t unsent(self) except -1:
        """Return how many bytes the wire holds that the kernel has not taken."""
        return self._wire.unsent if self._native is None else self._native.unsent

    # --- receiving ---------------------------------------------------------------

    def recv(self, decode=None, *, timeout=None):
        """Return the next message: text as str, binary as bytes.

        ``decode=True`` decodes binary messages too, ``decode=False`` leaves text as
        UTF-8 bytes. Cancelling loses nothing: for a ``timeout``, write ``async with
        asyncio.timeout(1)``; the keyword is only there to say so. Raises
        ConnectionClosed when the connection has ended and all that came before was
        received, ConcurrencyError while another coroutine is receiving.
        """
        if timeout is not None:
            raise no_timeout(timeout)
        cdef Receiving operation = Receiving.__new__(Receiving)
        operation.owner = self
        operation.decode = decode
        return operation

    def __aiter__(self):
        """Iterate over messages; ends when the connection is closed properly.

        Any other end raises ConnectionClosedError.
        """
        # On the instance is where tests patch it.
        mine = type(self).recv is Messaging.recv and "recv" not in vars(self)
        return self._iterate(not mine)

    def _iterate(self, bint overridden):
        """Return what to iterate over; by ``recv()`` itself if that is ``overridden``."""
        cdef Messages messages = Messages.__new__(Messages)
        messages.owner = self
        messages.overridden = overridden
        return messages

    # --- sending -----------------------------------------------------------------

    def send(self, message, text=None, *, bint compress=True):
        """Send a message: str as Text, bytes-like as Binary.

        ``text`` overrides that. An iterable or asynchronous iterable is sent as one
        fragment for each item, all of one type. ``compress=False`` sends this message
        uncompressed though permessage-deflate was agreed on. Waits while the peer is
        slow. Raises ConnectionClosed when the connection has ended, TypeError for
        other types.
        """
        cdef Sending operation = Sending.__new__(Sending)
        operation.owner = self
        operation.message = message
        operation.text = text
        operation.compress = compress
        return operation

    cdef int send_now(
        self, Session session, int opcode, message, bint compress
    ) except -1:
        session.send(opcode, message, True, compress)
        if session.flags == OUTPUT:
            session.flags = 0
            self.write_due(session)
        else:
            self.react()
        self._unbroken += 1
        return 0

    def offer(self, message, slow, key):
        """Send a message for many, or do with it what ``slow`` says; for broadcast."""
        return self.cast(self._live, message, slow, key)

    cdef int cast(self, Session session, message, slow, key) except -1:
        cdef Py_ssize_t unsent = self.unsent()
        cdef int done
        if type(message) is Forms:
            slow = slow or session.limits.slow
            done = (<Forms>message).offer_to(session, slow, key, unsent, self.time())
        else:
            done = session.offer(message, slow, key, unsent, self.time())
        self.react()
        return done


cdef class Operation:
    """What ``recv()`` and ``send()`` return: to be awaited once, like a coroutine."""

    def __dealloc__(self):
        if self.state == NEW:
            warn_unawaited(self.__qualname__)
        elif self.state == WAITING and self.owner is not None:
            # A collection of garbage may have emptied the owner before.
            if self.owner._session is not None:
                stop_waiting(self.owner)

    def __await__(self):
        if self.state not in (NEW, DONE):
            raise RuntimeError("coroutine is being awaited already")
        return self

    def __iter__(self):
        return self

    def __next__(self):
        value = self.step()
        if self.state == DONE:
            raise StopIteration(value)
        return value

    def send(self, value):
        """Go on, as a coroutine does."""
        if value is not None and self.state == NEW:
            raise TypeError(
                "can't send non-None value to a just-started coroutine"
            )
        return self.__next__()

    def throw(self, kind, value=None, traceback=None):
        """Raise an exception where it waits."""
        value = as_exception(kind, value, traceback)
        if self.state == DONE:
            return Operation.step(self)
        if self.state == DELEGATING:
            try:
                return self.delegate.throw(value)
            except BaseException:
                self.state = DONE
                self.delegate = None
                raise
        self.finish()
        raise value

    def close(self):
        """End without a result."""
        if self.state == DELEGATING:
            self.delegate.close()
        self.finish()

    @property
    def __name__(self):
        return type(self).__name__

    @property
    def __qualname__(self):
        return names[type(self).__name__]

    @property
    def __class__(self):
        """What ``isinstance()`` and so ``inspect.iscoroutine()`` go by.

        The type of coroutines cannot be a base class. Who runs what a function returns
        (anyio's task groups) may insist on it, and needs nothing that is not here.
        """
        return types.CoroutineType

    @property
    def cr_running(self):
        """Whether code of somebody else's is running inside: an iterable's."""
        return self.state == DELEGATING and getattr(self.delegate, "cr_running", False)

    @property
    def cr_suspended(self):
        """Whether it has begun, and waits."""
        return self.state not in (NEW, DONE) and not self.cr_running

    @property
    def cr_frame(self):
        """A frame that says which function it is of; None when it is done."""
        return None if self.state == DONE else frames[type(self).__name__]

    @property
    def cr_code(self):
        return frames[type(self).__name__].f_code

    @property
    def cr_origin(self):
        return None

    @property
    def cr_await(self):
        """What it waits for."""
        if self.state == WAITING:
            return self.owner._reader
        return self.delegate if self.state == DELEGATING else None

    def __repr__(self):
        return f"<{self.__qualname__} at {id(self):#x}>"

    cdef finish(self):
        if self.state == WAITING:
            stop_waiting(self.owner)
        self.state = DONE
        self.delegate = None

    cdef step(self):
        """Return what to yield, or with state DONE the result."""
        raise RuntimeError("cannot reuse already awaited coroutine")

    cdef follow(self):
        """Go on with the coroutine that does the rest."""
        cdef PyObject* result = NULL
        cdef PySendResult outcome = PyIter_Send(
            <PyObject*>self.delegate, <PyObject*>None, &result
        )
        if outcome != PYGEN_NEXT:
            self.state = DONE
            self.delegate = None
        return owned(result)


cdef class Receiving(Operation):
    cdef object decode
    cdef bint iterating

    cdef step(self):
        cdef Messaging owner = self.owner
        cdef Session session = owner._session
        cdef Waiter waiter
        if self.state == NEW:
            if session is None:
                self.state = DONE
                raise InvalidState("the opening handshake is not complete")
            self.state = DONE
            owner.check_loop()
            if owner._receiving:
                raise busy("recv")
            if session.inbox.whole > 0:
                return self.take(session)
            self.state = WAITING
            owner._receiving = True
            session.intake.streaming = False
        elif self.state != WAITING:
            return Operation.step(self)
        owner._reader = None
        if session.inbox.whole == 0:
            try:
                session.wait(owner.time())
                if session.flags:
                    owner.react()
            except BaseException:
                self.finish()
                raise
        if session.inbox.whole > 0:
            stop_waiting(owner)
            return self.take(session)
        if session.end_is_known():
            self.finish()
            return self.over(session.exception())
        owner._unbroken = 0
        waiter = Waiter.of(owner._loop)
        owner._reader = waiter
        return waiter

    cdef take(self, Session session):
        cdef tuple message
        self.state = DONE
        message = session.take()
        if session.flags:
            self.owner.react()
        if self.decode is None:
            return message[1]
        return as_wanted(message[1], self.decode)

    cdef over(self, exc):
        if self.iterating and isinstance(exc, ConnectionClosedOK):
            raise StopAsyncIteration from None
        raise exc


cdef class Sending(Operation):
    cdef object message
    cdef object text
    cdef bint compress

    cdef step(self):
        cdef Messaging owner = self.owner
        cdef Session session = owner._session
        cdef int opcode
        if self.state == DELEGATING:
            return self.follow()
        if self.state == PAUSING:
            self.state = DONE
            return None
        if self.state != NEW:
            return Operation.step(self)
        self.state = DONE
        if session is None:
            raise InvalidState("the opening handshake is not complete")
        if not owner.is_here():
            return self.begin(
                owner._send_elsewhere(self.message, self.text, self.compress)
            )
        if isinstance(self.message, str):
            opcode = BINARY if self.text is False else TEXT
        elif isinstance(self.message, BytesLike):
            opcode = TEXT if self.text else BINARY
        else:
            opcode = 0
        if (
            opcode == 0
            or session.fragmenting
            or not session.writable
            or not session.can_send
        ):
            return self.begin(
                owner._send_slowly(self.message, self.text, self.compress)
            )
        owner.send_now(session, opcode, self.message, self.compress)
        self.message = None
        if not session.writable or (
            owner._unbroken >= _UNBROKEN and owner._reactor is None
        ):
            return self.begin(owner._pause(session))
        if owner._unbroken >= _UNBROKEN:
            owner._unbroken = 0
            self.state = PAUSING
            return owner._reactor.pause()
        return None

    cdef begin(self, coroutine):
        self.delegate = coroutine
        self.state = DELEGATING
        return self.follow()


cdef class Messages:
    """What ``async for`` iterates over."""

    cdef Messaging owner
    cdef bint overridden

    def __aiter__(self):
        return self

    def __anext__(self):
        cdef Receiving operation
        if self.overridden:
            return next_of(self.owner)
        operation = Receiving.__new__(Receiving)
        operation.owner = self.owner
        operation.iterating = True
        return operation


def reraise_later(exc):
    """Raise where the loop lets it through."""
    raise exc


async def next_of(owner):
    """Return what a subclass's own ``recv()`` returns."""
    try:
        return await owner.recv()
    except ConnectionClosedOK:
        raise StopAsyncIteration from None


cdef dict names = {
    "Receiving": "Connection.recv",
    "Sending": "Connection.send",
}
cdef dict frames = {
    "Receiving": frame_of(recv),
    "Sending": frame_of(send),
    "Serving": frame_of(serving),
}


cdef int stop_waiting(Messaging owner) except -1:
    owner._session.stop_waiting()
    owner._reader = None
    owner._receiving = False
    return 0


# Cython's own slots raise StopIteration with a traceback, 0.3 us for each message. In
# C a result needs neither, and a task none of it.

cdef PyObject* next_step(PyObject* operation) except? NULL:
    cdef Operation self = <Operation>operation
    cdef object value = self.step()
    if self.state != DONE:
        Py_INCREF(value)
        return <PyObject*>value
    if value is not None:
        # An exception of its own where tuples would be taken for its arguments.
        PyErr_SetObject(<PyObject*>StopIteration, <PyObject*>value)
    return NULL


cdef int send_step(
    PyObject* operation, PyObject* value, PyObject** result
) except? -1:
    cdef Operation self = <Operation>operation
    cdef object outcome
    result[0] = NULL
    outcome = self.step()
    Py_INCREF(outcome)
    result[0] = <PyObject*>outcome
    return PYGEN_RETURN if self.state == DONE else PYGEN_NEXT


cdef void use_slots(kind):
    cdef SlottedType* slots = <SlottedType*><PyObject*>kind
    slots.tp_iternext = <iternextfunc>next_step
    slots.tp_as_async.am_send = <sendfunc>send_step


use_slots(Receiving)
use_slots(Sending)


# Who asks, inspect.iscoroutinefunction() or a mock, is to be told to await these.
mark_as_coroutine(Messaging.recv)
mark_as_coroutine(Messaging.send)
