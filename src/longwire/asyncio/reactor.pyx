"""The reactor: native I/O for all plain TCP and Unix sockets of one event loop.

An inner poller (epoll, or kqueue) holds the sockets; its descriptor is the only thing
that the loop watches, so the loop's cost for an event is paid once for each batch. A
batch takes what is ready, reads, lets handlers run, writes; it polls again while that
finds work, and goes back to the loop after ``BATCH`` seconds, so that timers and other
tasks have their turn. Decides nothing about WebSocket.

The GIL is kept throughout: no call here waits.
"""

import asyncio
import os
import socket
import time
import warnings
import weakref

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport (
    EAGAIN,
    EBADF,
    EINTR,
    EINVAL,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    ENOTSOCK,
    errno,
)
from libc.stdint cimport uint64_t

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    int resize_bytes "_PyBytes_Resize"(PyObject**, Py_ssize_t) except -1
    char* bytes_at "PyBytes_AS_STRING"(PyObject*)

cdef extern from "poller.h" nogil:
    const char* LW_POLLER
    int LW_READ, LW_WRITE, LW_BROKEN, LW_NOSIGNAL
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    struct iovec:
        void* iov_base
        size_t iov_len
    int lw_poller_open()
    int lw_poller_add(int poller, int fd, int interest, uint64_t tag)
    int lw_poller_change(int poller, int fd, int before, int interest, uint64_t tag)
    int lw_poller_remove(int poller, int fd, int interest)
    int lw_poller_take(int poller, lw_event* to, int most)
    int lw_accept(int listener, sockaddr* address, socklen_t* length)
    ssize_t lw_send_pieces(int fd, iovec* pieces, int count)
    ssize_t send(int fd, const void* data, size_t size, int flags)
    ssize_t recv(int fd, void* to, size_t size, int flags)
    int shutdown(int fd, int how)
    int SHUT_WR
    int listen(int fd, int backlog)
    int close(int fd)

POLLER = LW_POLLER.decode()
"""What is underneath: "epoll" or "kqueue"."""

BATCH = 0.001
"""Seconds after which a batch ends though there is more to do. It ends between two
reads: one read and what its messages' handlers do at once may come on top."""

READ = READ_SIZE
"""Bytes that one read takes at most; one buffer of that size for each loop."""

PAUSE = 1.0
"""Seconds without accepting after the process has run out of descriptors or memory."""

cdef double _BATCH = BATCH
cdef enum:
    ACCEPTS = 64  # connections accepted at one time from one socket
    PIECES = 64  # written by one system call
    # Connections written to one after the other: a peer that is woken by the first
    # finds the others' answers too. Nobody waits for the handlers of more than these.
    TOGETHER = 16
    # Bytes below which it costs less to copy what was read than to make a new buffer.
    COPIED = 8192
    READ_SIZE = 65536

cdef object _monotonic = time.monotonic
cdef object _current_task = asyncio.current_task
cdef object _reactors = weakref.WeakKeyDictionary()  # loop: weak reference to reactor


cdef class Receiver:
    """What bytes go to, once there is a session to read them."""

    cdef int take_bytes(self, bytes data, double now, bint direct) except -1:
        """Take what was read at ``now``; ``direct``: tasks may be run from here."""
        raise TypeError("a receiver must say what it does with bytes")

    cdef int flush(self) except -1:
        """Write the output that waited for the end of a round."""
        raise TypeError("a receiver must say what it writes")


cdef class Reactor:
    """The poller of one loop; get it by ``Reactor.of``, for a member to be added."""

    def __cinit__(self):
        self._poller = -1

    def __init__(self, loop):
        self.loop = loop
        self._members = []
        self._due = []
        self._poller = lw_poller_open()
        if self._poller < 0:
            raise OSError(errno, os.strerror(errno))
        loop.add_reader(self._poller, self._turn)

    def __dealloc__(self):
        if self._poller >= 0:
            close(self._poller)
        Py_XDECREF(self._spare)

    @staticmethod
    def of(loop):
        """Return the reactor of ``loop``, made at the first call.

        It goes with its last member. The loop keeps it alive, not the other way.
        """
        found = _reactors.get(loop)
        reactor = None if found is None else found()
        if reactor is None:
            reactor = Reactor(loop)
            _reactors[loop] = weakref.ref(reactor)
        return reactor

    @property
    def members(self):
        """How many sockets it holds, listening ones included."""
        return self._count

    cdef PyObject* buffer(self) except NULL:
        """Return the bytes object to read into."""
        if self._spare is NULL:
            self._spare = new_bytes(NULL, READ_SIZE)
        return self._spare

    cdef bytes take_buffer(self, Py_ssize_t size):
        """Return what was read: a copy of a little, of much the buffer itself."""
        cdef bytes data
        if size < COPIED:
            return PyBytes_FromStringAndSize(bytes_at(self._spare), size)
        if size < READ_SIZE:
            resize_bytes(&self._spare, size)
        data = <bytes>self._spare
        Py_XDECREF(self._spare)
        self._spare = NULL
        return data

    cdef int enter(self, Descriptor member, int interest) except -1:
        """Hold ``member`` and watch it."""
        cdef int fd = member.fd
        while len(self._members) <= fd:
            self._members.append(None)
        self._generation += 1
        # A descriptor's number is used again at once: the tag tells whose event it is.
        member.tag = (<uint64_t>self._generation << 32) | <uint64_t>fd
        self._members[fd] = member
        self._count += 1
        try:
            self.change(member, interest)
        except BaseException:
            member.interest = 0
            self.leave(member)
            raise
        return 0

    cdef int leave(self, Descriptor member) except -1:
        """Let go of ``member``, before its descriptor is closed."""
        cdef int fd = member.fd
        if fd < 0 or fd >= len(self._members) or self._members[fd] is not member:
            return 0
        self.change(member, 0)
        self._members[fd] = None
        self._count -= 1
        if self._count == 0:
            self._close()
        return 0

    cdef int change(self, Descriptor member, int interest) except -1:
        """Watch ``member`` for ``interest`` from now on."""
        cdef int before = member.interest
        cdef int result
        if before == interest or self._poller < 0:
            return 0
        if interest == 0:
            result = lw_poller_remove(self._poller, member.fd, before)
        elif before == 0:
            result = lw_poller_add(self._poller, member.fd, interest, member.tag)
        else:
            result = lw_poller_change(
                self._poller, member.fd, before, interest, member.tag
            )
        member.interest = interest
        if result < 0 and interest != 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    def _close(self):
        if self._poller < 0:
            return
        if not self._foreign:
            _reactors.pop(self.loop, None)
            if not self.loop.is_closed():
                self.loop.remove_reader(self._poller)
        close(self._poller)
        self._poller = -1

    def _turn(self):
        """Do a batch of work; the loop calls it when a member is ready."""
        self._direct = _current_task(self.loop) is None
        self.working = True
        try:
            self._work()
        finally:
            self.working = False
            self._flush()

    cdef int cork(self, Receiver receiver) except -1:
        """Have ``receiver`` flushed when this round is done, if one is under way."""
        if not receiver.is_due:
            receiver.is_due = True
            self._due.append(receiver)
        return 0

    cdef int _flush(self) except -1:
        """Have everything written that was to wait."""
        cdef list due
        cdef Receiver receiver
        cdef Py_ssize_t i
        if len(self._due) == 0:
            return 0
        due, self._due = self._due, []
        for i in range(len(due)):
            receiver = due[i]
            receiver.is_due = False
            try:
                receiver.flush()
            except (KeyboardInterrupt, SystemExit):
                # The others' output is not to be forgotten for it.
                self._due = due[i + 1 :] + self._due
                self.loop.call_soon(self._flush_rest)
                raise
            except BaseException as exc:
                self._complain(receiver, exc)
        return 0

    def _flush_rest(self):
        self._flush()

    cdef int _complain(self, whose, exc) except -1:
        """Tell the loop of a failure that is one connection's alone."""
        self.loop.call_exception_handler(
            {"message": f"{whose!r} failed", "exception": exc}
        )
        return 0

    cdef int _work(self) except -1:
        cdef lw_event event
        cdef Descriptor member
        cdef Py_ssize_t fd
        cdef double start = _monotonic()
        self.now = start
        while self._poller >= 0:
            # What the last batch had no time for comes first: the poller would begin
            # with the same ones each time, and who floods us would keep out the rest.
            if self._next == self._found:
                self._next = 0
                self._found = lw_poller_take(self._poller, self._events, EVENTS)
                if self._found < 0:
                    self._found = 0
                    raise OSError(errno, os.strerror(errno))
                if self._found == 0:
                    return 0
            while self._next < self._found:
                event = self._events[self._next]
                self._next += 1
                fd = <Py_ssize_t>(event.tag & 0xFFFFFFFF)
                # What an event before it has closed is not there any more.
                member = self._members[fd] if fd < len(self._members) else None
                if member is None or member.tag != event.tag:
                    continue
                self._tend(member, event.events)
                self.now = _monotonic()
                if self.now - start > _BATCH:
                    return 0
                if len(self._due) >= TOGETHER:
                    self._flush()
            self._flush()
        return 0

    cdef int _tend(self, Descriptor member, int events) except -1:
        """Let ``member`` do what it is ready for; its failure is not the others'."""
        try:
            member.ready(events)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self._complain(member, exc)
            member.give_up(exc)
        return 0


cdef class Descriptor:
    """A socket in the reactor of a loop."""

    def __cinit__(self):
        self.fd = -1

    cdef int ready(self, int events) except -1:
        return 0

    def give_up(self, exc):
        """End: something of ours has failed."""


def _forget_reactors():
    """Let go of the parent's pollers: after a fork they are shared with it."""
    cdef Reactor reactor
    for found in list(_reactors.values()):
        reactor = found()
        if reactor is not None:
            reactor._foreign = True
            close(reactor._poller)
            reactor._poller = -1
    _reactors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_reactors)


cdef class Socket(Descriptor):
    """A connected socket: bytes in, bytes out.

    ``fd`` is not blocking and belongs to it from now on. A subclass has the methods of
    :class:`asyncio.Protocol`: ``data_received``, which is called while there is no
    ``receiver``, ``eof_received``, ``connection_lost``, ``pause_writing`` and
    ``resume_writing``.
    """

    def __init__(self, loop, int fd):
        self._high = 65536
        self._low = 16384
        self.reactor = Reactor.of(loop)
        self.fd = fd
        try:
            self.reactor.enter(self, LW_READ)
        except BaseException:
            self.fd = -1  # still the caller's, to be closed once
            raise

    def __dealloc__(self):
        # A socket object that was asked for has the descriptor too, and closes it
        # itself: it may have done so already, and the number be another's by now.
        if self.fd >= 0 and not self._lent:
            close(self.fd)
            warn_unclosed(self.fd)

    # --- reading -----------------------------------------------------------------

    cdef int ready(self, int events) except -1:
        if events & LW_WRITE:
            self._flush()
        if self.fd >= 0 and self.interest & LW_READ:
            self._read()
        elif self.fd >= 0 and events & LW_BROKEN and not events & LW_WRITE:
            self._flush()
        return 0

    cdef int _read(self) except -1:
        cdef Reactor reactor = self.reactor
        cdef ssize_t size = recv(
            self.fd, bytes_at(reactor.buffer()), READ_SIZE, 0
        )
        cdef bytes data
        cdef Receiver receiver
        if size > 0:
            data = reactor.take_buffer(size)
            # Held here: a handler may abort, and it is ours no more.
            receiver = self.receiver
            if receiver is not None:
                receiver.take_bytes(data, reactor.now, reactor._direct)
            else:
                self.data_received(data)
        elif size == 0:
            self._got_eof = True
            self._want()
            self.eof_received()
            if self._broken:
                self._end(None)
        elif errno != EAGAIN and errno != EINTR:
            self._end(_os_error(errno))
        return 0

    def pause(self):
        """Stop reading: the kernel's buffer fills and stops the peer."""
        self._paused = True
        self._want()

    def resume(self):
        """Read again."""
        self._paused = False
        self._want()

    cdef int _want(self) except -1:
        cdef int interest = 0
        if self.fd < 0:
            return 0
        if not self._paused and not self._got_eof and not self.closing:
            interest |= LW_READ
        if self._queue is not None:
            interest |= LW_WRITE
        self.reactor.change(self, interest)
        return 0

    # --- writing -----------------------------------------------------------------

    cpdef write(self, bytes data):
        """Send ``data``, now or when the peer takes it."""
        cdef ssize_t done
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        if self.fd < 0 or self._broken or self.closing or size == 0:
            return
        if self._queue is not None:
            self._enqueue(data, 0)
            return
        done = send(self.fd, PyBytes_AS_STRING(data), size, LW_NOSIGNAL)
        if done == size:
            return
        if done < 0:
            if errno != EAGAIN and errno != EINTR:
                self._fail_writing(errno)
                return
            done = 0
        self._enqueue(data, done)

    cdef int write_pieces(self, list given) except -1:
        """Send bytes objects one after the other, as ``write`` does, not joined."""
        cdef iovec pieces[PIECES]
        cdef ssize_t done = 0
        cdef int count = 0
        cdef bytes data
        if self.fd < 0 or self._broken or self.closing:
            return 0
        if self._queue is None and len(given) <= PIECES:
            for data in given:
                pieces[count].iov_base = PyBytes_AS_STRING(data)
                pieces[count].iov_len = PyBytes_GET_SIZE(data)
                count += 1
            done = lw_send_pieces(self.fd, pieces, count)
            if done < 0:
                if errno != EAGAIN and errno != EINTR:
                    return self._fail_writing(errno)
                done = 0
        for data in given:
            if done >= PyBytes_GET_SIZE(data):
                done -= PyBytes_GET_SIZE(data)
            else:
                self._enqueue(data, done)
                done = 0
        return 0

    cdef int _enqueue(self, bytes data, Py_ssize_t done) except -1:
        if self.fd < 0 or self._broken or self.closing:
            return 0
        if self._queue is None:
            self._queue = []
            self._head = 0
            self._offset = done
        self._queue.append(data)
        self.unsent += PyBytes_GET_SIZE(data) - done
        self._want()
        if self.unsent > self._high and not self._full:
            self._full = True
            self.pause_writing()
        return 0

    cdef int _flush(self) except -1:
        """Send what waits, as far as the kernel takes it."""
        cdef iovec pieces[PIECES]
        cdef int count, i
        cdef ssize_t done
        cdef Py_ssize_t wanted
        cdef bytes data
        while self._queue is not None and self.fd >= 0:
            count = 0
            wanted = 0
            for i in range(PIECES):
                if self._head + i >= len(self._queue):
                    break
                data = self._queue[self._head + i]
                pieces[i].iov_base = PyBytes_AS_STRING(data)
                pieces[i].iov_len = PyBytes_GET_SIZE(data)
                if i == 0:
                    pieces[0].iov_base = PyBytes_AS_STRING(data) + self._offset
                    pieces[0].iov_len -= self._offset
                wanted += pieces[i].iov_len
                count += 1
            done = lw_send_pieces(self.fd, pieces, count)
            if done < 0:
                if errno != EAGAIN and errno != EINTR:
                    self._fail_writing(errno)
                break
            self._sent(done)
            if done < wanted:
                break
        return 0

    cdef int _sent(self, Py_ssize_t size) except -1:
        """The kernel took ``size`` bytes of what waits."""
        cdef Py_ssize_t left
        cdef bytes first
        self.unsent -= size
        while size > 0:
            first = self._queue[self._head]
            left = PyBytes_GET_SIZE(first) - self._offset
            if size < left:
                self._offset += size
                break
            size -= left
            self._queue[self._head] = None
            self._head += 1
            self._offset = 0
        if self._head == len(self._queue):
            self._queue = None
            self._want()
        elif self._head > 1024:
            del self._queue[: self._head]
            self._head = 0
        if self._full and self.unsent <= self._low:
            self._full = False
            self.resume_writing()
        if self._queue is None and self.fd >= 0:
            if self.closing:
                self._end(None)
            elif self._half_closing:
                self._half_closing = False
                self.half_close()
        return 0

    cdef int _fail_writing(self, int error) except -1:
        """Nothing more can be sent; what the peer sent before may still be there."""
        self._broken = True
        self._queue = None
        self.unsent = 0
        if self._paused or self._got_eof or self.closing:
            self._end(_os_error(error))
        else:
            self._want()
        return 0

    def set_write_limits(self, high, low):
        """Set the marks of ``pause_writing`` and ``resume_writing``, in bytes."""
        self._high = high
        self._low = high // 4 if low is None else low

    # --- ending ------------------------------------------------------------------

    def half_close(self):
        """Send the end of the stream after what was written; go on reading."""
        if self.fd < 0 or self.closing or self._broken:
            return
        if self._queue is not None:
            self._half_closing = True
        elif shutdown(self.fd, SHUT_WR) < 0:
            # The peer is gone already.
            self._fail_writing(errno)

    def close(self):
        """Close when all that was written has left."""
        if self.fd < 0 or self.closing:
            return
        self.closing = True
        if self._queue is None:
            self._end(None)
        else:
            self._want()

    def abort(self):
        """Close now, whatever was not sent."""
        self._end(None)

    def give_up(self, exc):
        """Close now: something of ours has failed."""
        self._end(exc)

    cdef int _end(self, exc) except -1:
        """Close the descriptor; ``connection_lost`` follows in the loop's next turn."""
        cdef int fd = self.fd
        if fd < 0:
            return 0
        # As it is with asyncio, our address is known after the end too.
        self._sockname = self.sockname()
        self.closing = True
        self._queue = None
        self.unsent = 0
        self.receiver = None
        self.reactor.leave(self)
        self.fd = -1
        if self._sock is not None:
            self._sock.detach()
            self._sock = None
        self._lent = False
        close(fd)
        if not self.reactor.loop.is_closed():
            self.reactor.loop.call_soon(self.connection_lost, exc)
        return 0

    # --- questions ---------------------------------------------------------------

    @property
    def is_reading(self):
        """Whether bytes are read as they come."""
        return self.fd >= 0 and self.interest & LW_READ != 0

    @property
    def write_limits(self):
        """The low mark and the high one."""
        return self._low, self._high

    @property
    def lost(self):
        """Whether the descriptor is closed."""
        return self.fd < 0

    def sockname(self):
        """Return our address."""
        if self.fd < 0:
            return self._sockname
        try:
            return self.sock().getsockname()
        except OSError:
            return None

    def sock(self):
        """Return a socket object for the descriptor; None when it is closed.

        It shares the descriptor: whoever has it must not close it.
        """
        if self.fd < 0:
            return None
        if self._sock is None:
            self._sock = socket.socket(fileno=self.fd)
            self._lent = True
        return self._sock


cdef class Listener(Descriptor):
    """A listening socket: calls ``accepted(fd)`` for each connection.

    The descriptor is somebody else's, and stays open. ``exhausted(exc)`` is called when
    the process has no descriptor or memory for one more; it then goes on after
    ``PAUSE`` seconds.
    """

    def __init__(self, loop, int fd, int backlog, accepted):
        self._accepted = accepted
        if listen(fd, backlog) < 0:
            raise OSError(errno, os.strerror(errno))
        self.reactor = Reactor.of(loop)
        self.fd = fd
        self.reactor.enter(self, LW_READ)

    cdef int ready(self, int events) except -1:
        cdef int fd, i
        for i in range(ACCEPTS):
            if self.fd < 0:
                return 0  # stopped by the last one accepted
            fd = lw_accept(self.fd, NULL, NULL)
            if fd >= 0:
                self._told = False
                self._accepted(fd)
            elif errno == EAGAIN:
                return 0
            elif errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                self._back_off(errno)
                return 0
            elif errno in (EBADF, EINVAL, ENOTSOCK):
                # Somebody took the socket from us: that does not get better, and the
                # poller would never be quiet about it.
                self._lose(errno)
            # Else the one who came is gone already, or an error of the network's.
        return 0

    def _back_off(self, error):
        self.reactor.change(self, 0)
        self._again = self.reactor.loop.call_later(PAUSE, self._go_on)
        if not self._told:
            # Once for each time that it lasts, not for each attempt.
            self._told = True
            self.exhausted(_os_error(error))

    def _lose(self, error):
        self.stop()
        raise _os_error(error)

    def _go_on(self):
        self._again = None
        if self.fd >= 0:
            self.reactor.change(self, LW_READ)

    def exhausted(self, exc):
        """Say that connections have to wait."""

    def stop(self):
        """Accept no more."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self.fd >= 0:
            self.reactor.leave(self)
            self.fd = -1


cdef void warn_unclosed(int fd) noexcept:
    """Say that a loop went away with a connection open, as asyncio does."""
    # Where warnings are errors, there is nobody to raise it to: it is shown.
    warnings.warn(f"unclosed connection, descriptor {fd}", ResourceWarning)


cdef object _os_error(int error):
    # A subclass by its number, such as ConnectionResetError.
    return OSError(error, os.strerror(error))

