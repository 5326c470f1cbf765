"""Sockets of the reactor: connected ones, and those that listen.

Bytes in and out, connections accepted; when, is the reactor's business.
"""

import os
import socket
import warnings

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
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

from longwire.asyncio.addresses cimport (
    LW_PEER_GONE,
    LW_PEER_HUNG_UP,
    kept,
    lw_address,
    lw_address_room,
    lw_has_nodelay,
    lw_is_usual,
    lw_peer_state,
    lw_set_nodelay,
    lw_sockname,
    shown,
    shown_of,
    sockaddr,
    socklen_t,
)
from longwire.asyncio.reactor cimport (
    LEAST_READ,
    READ_SIZE,
    Descriptor,
    Reactor,
    Receiver,
    os_error,
)

from ..admission import ACCEPT_PAUSE

cdef extern from "Python.h":
    char* bytes_at "PyBytes_AS_STRING"(PyObject*)

cdef extern from "poller.h" nogil:
    int LW_READ, LW_WRITE, LW_BROKEN, LW_NOSIGNAL, MSG_PEEK
    struct iovec:
        void* iov_base
        size_t iov_len
    int lw_accept(int listener, sockaddr* address, socklen_t* length)
    ssize_t lw_send_pieces(int fd, iovec* pieces, int count)
    ssize_t send(int fd, const void* data, size_t size, int flags)
    ssize_t recv(int fd, void* to, size_t size, int flags)
    int shutdown(int fd, int how)
    int SHUT_WR
    int listen(int fd, int backlog)
    int close(int fd)

cdef enum:
    ACCEPTS = 64  # connections accepted at one time from one socket
    PIECES = 64  # written by one system call


cdef class Socket(Descriptor):
    """A connected socket: bytes in, bytes out.

    ``fd`` is not blocking and belongs to it from now on. A subclass has the methods of
    :class:`asyncio.Protocol`: ``data_received``, which is called while there is no
    ``receiver``, ``eof_received``, ``connection_lost``, ``pause_writing`` and
    ``resume_writing``; and ``writing_failed(exc)``, for a peer that is gone while
    reading is paused: what it sent before is there to be read, and then the end.
    """

    def __init__(self, loop, int fd):
        self._high = 65536
        self._low = 16384
        self._portion = READ_SIZE
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

    cdef bint guess(self) except -1:
        return self.interest == LW_READ and self._read() != 0

    cdef int _read(self) except -1:
        """Read once; return 0 where there was nothing."""
        cdef Reactor reactor = self.reactor
        cdef ssize_t size = recv(
            self.fd, bytes_at(reactor.buffer()), self._portion, 0
        )
        cdef bytes data
        cdef Receiver receiver
        self._is_read = size < self._portion
        if size > 0:
            if size == self._portion and size < READ_SIZE:
                self._portion = min(READ_SIZE, size + size // 8)
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
        elif errno == EAGAIN or errno == EINTR:
            return 0
        else:
            self._end(os_error(errno))
        return 1

    cdef int ease(self) except -1:
        """Read less at one time."""
        self._portion = max(LEAST_READ, self._portion // 2)
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
        if self._got_eof or self.closing or (self._paused and not self._has_input()):
            self._end(os_error(error))
        elif self._paused:
            self.writing_failed(os_error(error))
        else:
            self._want()
        return 0

    cdef bint _has_input(self) except -1:
        """Return whether something came that was not read."""
        cdef char byte
        return recv(self.fd, &byte, 1, MSG_PEEK) > 0

    def writing_failed(self, exc):
        """Nothing can be sent any more; reading is paused."""
        self._end(exc)

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

    def close_if_quiet(self):
        """Close now if all was sent and, at the last look, all was read.

        Returns whether it was done; ``connection_lost`` was called then. Not where a
        socket object was asked for: its owner may have set what is done at a close.
        """
        if self.fd < 0 or self.closing or self._broken or self._lent:
            return False
        if self._queue is not None or self._paused or not self._is_read:
            return False
        self._close_descriptor()
        self.connection_lost(None)
        return True

    def abort(self):
        """Close now, whatever was not sent."""
        self._end(None)

    def give_up(self, exc):
        """Close now: something of ours has failed."""
        self._end(exc)

    cdef int _end(self, exc) except -1:
        """Close the descriptor; ``connection_lost`` follows in the loop's next turn."""
        if self.fd < 0:
            return 0
        self._close_descriptor()
        if not self.reactor.loop.is_closed():
            self.reactor.loop.call_soon(self.connection_lost, exc)
        return 0

    cdef int _close_descriptor(self) except -1:
        cdef int fd = self.fd
        cdef lw_address address
        # As it is with asyncio, our address is known after the end too.
        if lw_sockname(fd, &address) == 0:
            self._last_name = kept(&address)
            if not lw_is_usual(&address):
                self._last_name = (self.sockname(),)
        self.closing = True
        self._queue = None
        self.unsent = 0
        self.receiver = None
        self.reactor.leave(self, self.is_shared or self._lent)
        self.fd = -1
        if self._sock is not None:
            self._sock.detach()
            self._sock = None
        self._lent = False
        close(fd)
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
    def memory(self):
        """Bytes of memory that unsent bytes take, with the objects that hold them."""
        if self._queue is None:
            return 0
        # What was sent of the first is still in memory; an object has 33 bytes more, and
        # its place in the list 9.
        return self.unsent + self._offset + 42 * (len(self._queue) - self._head)

    @property
    def lost(self):
        """Whether the descriptor is closed."""
        return self.fd < 0

    def sockname(self):
        """Return our address, also after the end."""
        cdef lw_address address
        cdef object found
        if self.fd < 0:
            if isinstance(self._last_name, bytes):
                return shown_of(self._last_name)
            return None if self._last_name is None else self._last_name[0]
        if lw_sockname(self.fd, &address) < 0:
            return None
        found = shown(&address)
        if found is not None:
            return found
        try:
            return self.sock().getsockname()
        except OSError:
            return None

    def sock(self):
        """Return a socket object for the descriptor; None when it is closed.

        It shares the descriptor: whoever has it must not close it.
        """
        cdef int fd = self.fd
        cdef object sock = self._sock
        if fd < 0 or sock is not None:
            return sock
        sock = socket.socket(fileno=fd)
        # Making it let other threads run. A second object would close the descriptor
        # when it goes, so only one that is kept may have it.
        if self._sock is not None or self.fd != fd:
            sock.detach()
            return self._sock
        self._lent = True
        self._sock = sock
        return sock


cdef class Listener(Descriptor):
    """A listening socket: calls ``accepted(fd, peer)`` for each connection.

    ``peer`` is its address, None where only the socket module can tell; ``tcp`` says
    that small writes of the connections are to leave at once. ``hung_up(fd, peer)`` is
    called in place of ``accepted`` where the peer has ended its stream already.

    The descriptor is somebody else's, and stays open. ``exhausted(exc)`` is called when
    the process has no descriptor or memory for one more; it then goes on after
    ``ACCEPT_PAUSE`` seconds.
    """

    def __init__(self, loop, int fd, int backlog, bint tcp, accepted, hung_up):
        self._accepted = accepted
        self._hung_up = hung_up
        self._tcp = tcp
        if listen(fd, backlog) < 0:
            raise OSError(errno, os.strerror(errno))
        if tcp:
            # Linux and the BSDs have accepted sockets inherit it.
            lw_set_nodelay(fd)
        self.reactor = Reactor.of(loop)
        self.fd = fd
        self.reactor.enter(self, LW_READ)

    cdef int ready(self, int events) except -1:
        cdef int fd, i, state
        cdef lw_address peer
        for i in range(ACCEPTS):
            if self.fd < 0:
                return 0  # stopped by the last one accepted
            fd = lw_accept(self.fd, lw_address_room(&peer), &peer.size)
            if fd >= 0:
                # Who resets connections as fast as TCP makes them costs us no task for
                # each: in the time of those, the kernel's queue would fill.
                state = lw_peer_state(fd)
                if state == LW_PEER_GONE or self._tcp and not self._set_up(fd):
                    close(fd)
                    continue
                try:
                    address = shown(&peer)
                except BaseException:
                    close(fd)
                    raise
                try:
                    if state == LW_PEER_HUNG_UP:
                        self._hung_up(fd, address)
                    else:
                        self._accepted(fd, address)
                except OSError as exc:
                    # The system will watch no more descriptors: it is the same with all.
                    self._back_off(exc)
                    return 0
            elif errno == EAGAIN:
                self._told = False
                return 0
            elif errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                self._back_off(os_error(errno))
                return 0
            elif errno in (EBADF, EINVAL, ENOTSOCK):
                # Somebody took the socket from us: that does not get better, and the
                # poller would never be quiet about it.
                self._lose(errno)
            # Else the one who came is gone already, or an error of the network's.
        return 0

    cdef bint _set_up(self, int fd):
        """Have small writes of an accepted socket leave at once; False if it is gone."""
        if not self._looked:
            self._looked = True
            self._inherits = lw_has_nodelay(fd) == 1
        return self._inherits or lw_set_nodelay(fd) == 0

    def _back_off(self, exc):
        self.reactor.change(self, 0)
        self._again = self.reactor.loop.call_later(ACCEPT_PAUSE, self._go_on)
        if not self._told:
            # Once for each time that it lasts, not for each attempt.
            self._told = True
            self.exhausted(exc)

    def _lose(self, error):
        self.stop()
        raise os_error(error)

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
            self.reactor.leave(self, True)  # the descriptor is not closed
            self.fd = -1


cdef void warn_unclosed(int fd) noexcept:
    """Say that a loop went away with a connection open, as asyncio does."""
    # Where warnings are errors, there is nobody to raise it to: it is shown.
    warnings.warn(f"unclosed connection, descriptor {fd}", ResourceWarning)
