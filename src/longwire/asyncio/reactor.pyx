"""The reactor: native I/O for all plain TCP and Unix sockets of one event loop.

An inner poller (epoll, or kqueue) holds the sockets; its descriptor is the only thing
that the loop watches, so the loop's cost for an event is paid once for each batch. A
batch takes what is ready, reads, lets handlers run, writes; it polls again while that
finds work, and goes back to the loop after ``BATCH`` seconds, so that timers and other
tasks have their turn. Decides nothing about WebSocket.

The GIL is kept throughout: no call here waits.
"""

import asyncio
import collections
import os
import time
import types
import weakref

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_XDECREF
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t

from longwire.asyncio.waiting cimport may_resume

cdef extern from "clock.h" nogil:
    double lw_now()

cdef extern from "Python.h":
    PyObject* new_bytes "PyBytes_FromStringAndSize"(const char*, Py_ssize_t) except NULL
    int resize_bytes "_PyBytes_Resize"(PyObject**, Py_ssize_t) except -1
    char* bytes_at "PyBytes_AS_STRING"(PyObject*)

cdef extern from "poller.h" nogil:
    const char* LW_POLLER
    int LW_INHERITED
    int LW_READ
    int lw_poller_open()
    int lw_poller_add(int poller, int fd, int interest, uint64_t tag)
    int lw_poller_change(int poller, int fd, int before, int interest, uint64_t tag)
    int lw_poller_remove(int poller, int fd, int interest)
    int lw_poller_take(int poller, lw_event* to, int most)
    int close(int fd)

POLLER = LW_POLLER.decode()
"""What is underneath: "epoll" or "kqueue"."""

BATCH = 0.001
"""Seconds after which a batch ends though there is more to do. It ends between two
reads: one read and what its messages' handlers do at once may come on top. Who needs
longer than that for a read is given less at the next, down to ``LEAST_READ`` bytes. A
timer may so be late by two batches: one that it came in, and one before its own turn."""

READ = READ_SIZE
"""Bytes that one read takes at most; one buffer of that size for each loop."""

cdef double _BATCH = BATCH
cdef enum:
    # Connections written to one after the other: a peer that is woken by the first
    # finds the others' answers too. Nobody waits for the handlers of more than these.
    TOGETHER = 16
    # Bytes below which it costs less to copy what was read than to make a new buffer.
    COPIED = 8192
    # Polls in a row that find one and the same member, after which it is read without
    # a poll; and such reads in a row, after which a poll looks for others.
    ALONE = 16
    GUESSES = 16
    # Second polls that are worth trying after one that found something; and batches
    # without, after which one is tried again.
    HOPES = 8
    BATCHES = 16

cdef object _monotonic = time.monotonic
# A program may have put a clock of its own there before us, to move it.
cdef bint _is_replaced = not isinstance(_monotonic, types.BuiltinFunctionType)
cdef object _current_task = asyncio.current_task
# The tasks that run now, by their loops, where current_task() is a Python function.
cdef dict _running_tasks = (
    asyncio.tasks._current_tasks if isinstance(_current_task, types.FunctionType) else None
)
cdef bint _has_forked = False
cdef object _reactors = weakref.WeakKeyDictionary()  # loop: weak reference to reactor


cdef double clock() except? -1.0:
    """Return what ``time.monotonic()`` returns, without an object for it."""
    return _monotonic() if _is_replaced else lw_now()


cdef bint runs_task(loop) except -1:
    """Return whether a task of ``loop`` is running."""
    if _running_tasks is None:
        return _current_task(loop) is not None
    return loop in _running_tasks


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
        self._paused = collections.deque()
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
        elif (<Reactor>reactor)._foreign:
            reactor._take_over()
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
            self.leave(member, False)
            raise
        return 0

    cdef int leave(self, Descriptor member, bint is_shared) except -1:
        """Let go of ``member``, before its descriptor is closed.

        ``is_shared`` says that another descriptor of the same socket may stay open.
        Otherwise closing this one ends the watch, and spares a system call.
        """
        cdef int fd = member.fd
        if fd < 0 or fd >= len(self._members) or self._members[fd] is not member:
            return 0
        if is_shared or _has_forked:
            self.change(member, 0)
        member.interest = 0
        self._members[fd] = None
        self._has_left = True
        if self._single is member:
            self._single = None
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
        if self._foreign:
            member.interest = interest
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
        _reactors.pop(self.loop, None)
        if self._foreign:
            return  # the loop's own poller is the parent's too: nothing may change
        if not self.loop.is_closed():
            self.loop.remove_reader(self._poller)
        close(self._poller)
        self._poller = -1

    def _take_over(self):
        """Go on with a new poller: the old one is a parent's, or has what is gone."""
        cdef Descriptor member
        cdef int old = self._poller
        self._poller = lw_poller_open()
        if self._poller < 0:
            self._poller = old
            raise OSError(errno, os.strerror(errno))
        self._foreign = False
        self._next = self._found = 0
        for member in self._members:
            if member is not None and member.interest != 0:
                lw_poller_add(self._poller, member.fd, member.interest, member.tag)
        self.loop.add_reader(self._poller, self._turn)
        if old >= 0:
            self.loop.remove_reader(old)
            close(old)

    def _turn(self):
        """Do a batch of work; the loop calls it when a member is ready."""
        if self._again is None:  # else one is about to come, and one is enough
            self._batch()

    def _repeat(self):
        self._again = None
        self._batch()

    def _batch(self):
        if self._foreign:
            self._take_over()
        self._direct = may_resume(self.loop) and not runs_task(self.loop)
        self.working = True
        try:
            self._work()
        finally:
            self.working = False
            if len(self._paused) > 0:
                self._go_on_soon()
            self._flush()

    cdef Waiter pause(self):
        """Return what a task waits for that has worked long enough for now.

        Tasks that go on in the loop's own way all do so in the same turn of it, each
        with its share: too much for a timer to wait for. Here a batch bounds them too.
        """
        cdef Waiter waiter = Waiter.of(self.loop)
        self._paused.append(waiter)
        if not self.working:
            self._go_on_soon()
        return waiter

    cdef int _resume(self) except -1:
        """Let the task go on that has paused longest."""
        cdef Waiter waiter = self._paused.popleft()
        waiter.wake(self._direct)
        return 0

    cdef int _go_on_soon(self) except -1:
        if self._again is None and not self.loop.is_closed():
            self._again = self.loop.call_soon(self._repeat)
        return 0

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
        cdef double start = clock()
        cdef bint again = False
        self.now = start
        if self._next == self._found and self._guess(start):
            self._flush()
            again = True  # as after a poll: the loop sees what else there is
        while self._poller >= 0 and not self._foreign:
            # What the last batch had no time for comes first: the poller would begin
            # with the same ones each time, and who floods us would keep out the rest.
            if self._next == self._found:
                if again and len(self._paused) == 0 and not self._hopes():
                    return 0
                self._poll(again)
                again = True
                if self._found == 0 and len(self._paused) == 0:
                    return 0
            while True:
                if self._next < self._found:
                    self._take_next()
                if len(self._paused) > 0:
                    self._resume()
                    self.now = clock()
                if self.now - start > _BATCH:
                    return 0
                if len(self._due) >= TOGETHER:
                    self._flush()
                if self._next == self._found:
                    break
            self._flush()
        for _ in range(len(self._paused)):
            self._resume()  # their connections have ended, and so has the reactor
        return 0

    cdef int _poll(self, bint again) except -1:
        """Ask the poller what is ready; ``again``: not for the first time in a batch."""
        cdef Descriptor member
        cdef Py_ssize_t fd
        self._next = 0
        self._has_left = False
        self._found = lw_poller_take(self._poller, self._events, EVENTS)
        if self._found < 0:
            self._found = 0
            raise OSError(errno, os.strerror(errno))
        if again:
            # A second poll finds what came meanwhile: nearly always where many are
            # active, and nearly never where one is, whose peer waits for our answer.
            if self._found > 0:
                self._hope = HOPES
            elif self._hope > 0:
                self._hope -= 1
            if self._found == 0:
                return 0
        member = None
        if self._found == 1:
            fd = <Py_ssize_t>(<uint32_t>self._events[0].tag)
            member = self._members[fd] if fd < len(self._members) else None
        if member is None or member is not self._single:
            self._single = member
            self._streak = 0
        elif self._streak < ALONE:
            self._streak += 1
        return 0

    cdef bint _hopes(self) except -1:
        """Return whether a second poll in this batch is likely to find something."""
        if self._hope == 0:
            self._missed += 1
            if self._missed < BATCHES:
                return False
            self._missed = 0
        return True

    cdef bint _guess(self, double start) except -1:
        """Read from the only member that is active, if it is that and has something.

        The loop says that somebody is ready, and for a while that was always the same
        one. A miss costs a system call, a hit spares one.
        """
        cdef Descriptor member = self._single
        cdef bint found = False
        if self._streak < ALONE or member is None or self._poller < 0:
            return False
        if self._guesses == GUESSES:
            self._guesses = 0
            return False
        self._guesses += 1
        try:
            found = member.guess()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self._give_up(member, exc)
            found = True
        if not found:
            self._streak = 0
        self.now = clock()
        if self.now - start > _BATCH:
            member.ease()
        return found

    cdef int _take_next(self) except -1:
        """Tend the member of the next event."""
        cdef lw_event event = self._events[self._next]
        cdef Py_ssize_t fd = <Py_ssize_t>(<uint32_t>event.tag)
        cdef Descriptor member
        cdef double before = self.now
        self._next += 1
        # What an event before it has closed is not there any more.
        member = self._members[fd] if fd < len(self._members) else None
        if member is None or member.tag != event.tag:
            if not self._has_left:
                self._renew()
            return 0
        self._tend(member, event.events)
        self.now = clock()
        if self.now - before > _BATCH:
            member.ease()
        return 0

    cdef int _renew(self) except -1:
        """Have a poller that knows of members only.

        Somebody has another descriptor of a socket that is closed here: a process that
        was forked off behind Python's back. The poller would report it for ever, and
        cannot be told to stop, for it knows sockets by descriptors.
        """
        try:
            self._take_over()
        except OSError:
            pass  # there is no descriptor for it now; the next event tries again
        return 0

    cdef int _tend(self, Descriptor member, int events) except -1:
        """Let ``member`` do what it is ready for; its failure is not the others'."""
        try:
            member.ready(events)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self._give_up(member, exc)
        return 0

    cdef int _give_up(self, Descriptor member, exc) except -1:
        self._complain(member, exc)
        member.give_up(exc)
        return 0


cdef class Descriptor:
    """A socket in the reactor of a loop."""

    def __cinit__(self):
        self.fd = -1

    cdef int ready(self, int events) except -1:
        return 0

    cdef bint guess(self) except -1:
        """Read, if only reading is wanted; return whether there was something."""
        return False

    cdef int ease(self) except -1:
        """Take less at one time: it took longer than a batch may."""
        return 0

    def give_up(self, exc):
        """End: something of ours has failed."""


def _leave_to_parent():
    """Change nothing in pollers that were the parent's: after a fork they are shared.

    A child whose loop goes on, as a daemon's does, takes over at the first event.
    """
    cdef Reactor reactor
    for found in list(_reactors.values()):
        reactor = found()
        if reactor is not None:
            reactor._foreign = True
            if not LW_INHERITED:
                reactor._poller = -1


def _note_fork():
    """Note that a child has descriptors of all that is open here."""
    global _has_forked
    _has_forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_note_fork, after_in_child=_leave_to_parent)


cdef object os_error(int error):
    # A subclass by its number, such as ConnectionResetError.
    return OSError(error, os.strerror(error))
