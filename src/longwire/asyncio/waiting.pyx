"""Waiting: what a task gets to wait for instead of a future.

asyncio's tasks take anything with ``_asyncio_future_blocking`` for a future. This one
can call back at once, from the callback that read a message, where a future would have
the loop do so in its next turn.
"""

import asyncio

from cpython.object cimport PyObject

cdef extern from "Python.h":
    int PyContext_Enter(PyObject* context) except -1
    int PyContext_Exit(PyObject* context) except -1

cdef enum:
    # What has become of a waiter.
    PENDING = 0
    WOKEN = 1
    CANCELLED = 2

cdef object _CancelledError = asyncio.CancelledError


cdef class Waiter:
    """What a task waits for in ``recv()``: as much of a future as tasks ask for."""

    @staticmethod
    cdef Waiter of(loop):
        """Return one for a task of ``loop`` that is about to wait."""
        cdef Waiter waiter = Waiter.__new__(Waiter)
        waiter._loop = loop
        waiter._asyncio_future_blocking = True
        return waiter

    def get_loop(self):
        """Return the loop of the task that may wait."""
        return self._loop

    def done(self):
        """Return whether it was woken or cancelled."""
        return self.state != PENDING

    def cancelled(self):
        """Return whether it was cancelled."""
        return self.state == CANCELLED

    def result(self):
        """Return None, or raise CancelledError."""
        if self.state == CANCELLED:
            if self.message is None:
                raise _CancelledError
            raise _CancelledError(self.message)
        if self.state == PENDING:
            raise asyncio.InvalidStateError("result is not set")
        return None

    def exception(self):
        """Return None, or raise CancelledError."""
        return self.result()

    def add_done_callback(self, callback, *, context=None):
        """Have ``callback`` called with this when it is done."""
        if self.state != PENDING:
            self._loop.call_soon(callback, self, context=context)
        elif self.callback is None:
            self.callback = callback
            self.context = context
        else:
            if self.others is None:
                self.others = []
            self.others.append((callback, context))

    def remove_done_callback(self, callback):
        """Forget ``callback``; return how often it was there."""
        pairs = [(self.callback, self.context), *(self.others or ())]
        kept = [p for p in pairs if p[0] is not None and p[0] != callback]
        removed = sum(p[0] is not None for p in pairs) - len(kept)
        self.callback, self.context = kept[0] if kept else (None, None)
        self.others = kept[1:] or None
        return removed

    def cancel(self, msg=None):
        """Cancel: the task gets a CancelledError in the loop's next turn."""
        if self.state != PENDING:
            return False
        self.state = CANCELLED
        self.message = msg
        self.call_back(False)
        return True

    def __repr__(self):
        return f"<waiting for a message at {id(self):#x}>"

    cdef int wake(self, bint direct) except -1:
        """The wait is over; ``direct``: no task is running, so the waiting one can."""
        if self.state != PENDING:
            return 0
        self.state = WOKEN
        self.call_back(direct)
        return 0

    cdef int call_back(self, bint direct) except -1:
        cdef object callback = self.callback
        cdef object context = self.context
        self.callback = self.context = None
        if callback is None:
            return 0
        if direct and context is not None and self.others is None:
            self.run(callback, context)
            return 0
        self._loop.call_soon(callback, self, context=context)
        if self.others is not None:
            for callback, context in self.others:
                self._loop.call_soon(callback, self, context=context)
            self.others = None
        return 0

    cdef int run(self, callback, context) except -1:
        """Call back at once, as a handle of the loop does."""
        PyContext_Enter(<PyObject*>context)
        try:
            callback(self)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            self._loop.call_exception_handler(
                {"message": f"exception in callback {callback!r}", "exception": exc}
            )
        finally:
            PyContext_Exit(<PyObject*>context)
        return 0
