"""Serving, compiled: see ``serving.py`` for what it does.

The task's coroutine is an object that passes on what the task asks to whoever is at
work: while the handler runs, nothing of ours lies between it and its task.
"""

from longwire.asyncio.messaging cimport (
    DELEGATING,
    DONE,
    NEW,
    Messaging,
    Operation,
    use_slots,
)
from longwire.asyncio.waiting cimport as_exception

__all__ = ["serving"]


cdef class Serving(Operation):
    """Open, handle, leave: the one task of a server's connection."""

    cdef int stage

    cdef step(self):
        return self.run(None)

    def throw(self, kind, value=None, traceback=None):
        """Raise an exception where it waits."""
        value = self.run(as_exception(kind, value, traceback))
        if self.state == DONE:
            raise StopIteration(value)
        return value

    def close(self):
        """End without having been through."""
        if self.state == DELEGATING:
            self.state = DONE
            self.delegate.close()
            self.owner._left()
        self.state = DONE

    @property
    def __qualname__(self):
        return "ServerConnection._serve"

    @property
    def cr_frame(self):
        """The frame of who is at work, the handler's as a rule."""
        if self.state == NEW:
            return Operation.cr_frame.__get__(self)
        return getattr(self.delegate, "cr_frame", None)

    @property
    def cr_await(self):
        """What that one waits for."""
        return getattr(self.delegate, "cr_await", None)

    cdef run(self, thrown):
        """Go on until somebody waits, or the end."""
        cdef object value, failure
        if self.state == NEW:
            self.state = DELEGATING
            self.delegate = self.owner._come_in()
        elif self.state == DONE:
            return Operation.step(self)
        while True:
            failure = None
            try:
                if thrown is None:
                    value = self.follow()
                else:
                    failure, thrown = thrown, None
                    value = self.delegate.throw(failure)
                    failure = None
                if self.state == DELEGATING:
                    return value
            except StopIteration as stop:
                # Only throw() tells of a result in this way.
                value = stop.value
                failure = None
            except BaseException as exc:
                value = None
                failure = exc
            if not self.go_on(value, failure):
                self.state = DONE
                self.delegate = None
                self.owner._left()
                if failure is not None:
                    raise failure
                return None

    cdef bint go_on(self, value, failure) except -1:
        """Begin what comes next; return whether there is anything."""
        self.state = DELEGATING
        self.stage += 1
        if self.stage == 1 and failure is None and value is not None:
            self.delegate = value
        elif self.stage == 2:
            self.delegate = self.owner._leave(failure)
        else:
            return False
        return True


def serving(Messaging connection):
    """Return the coroutine of a server's connection: open, handle, leave."""
    cdef Serving operation = Serving.__new__(Serving)
    operation.owner = connection
    return operation


use_slots(Serving)
