"""Waiting: what a task gets to wait for instead of a future.

asyncio's tasks take anything with ``_asyncio_future_blocking`` for a future. This one
can call back at once, from the callback that read a message, where a future would have
the loop do so in its next turn.
"""

import asyncio
import inspect
import warnings

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        unsigned int tp_version_tag  # another one after each change of the type
    PyTypeObject* Py_TYPE(PyObject* value)
    void Py_DECREF(PyObject* value)
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
        try:
            PyContext_Enter(<PyObject*>context)
        except RuntimeError:
            # We are in it already: the read's callback was given the task's own.
            self._loop.call_soon(callback, self, context=context)
            return 0
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


# --- loops that run within themselves --------------------------------------------

# Where a handler can run the loop that runs it, none may be resumed from a callback of
# that loop: while the handler runs the loop, the callback would not be called again,
# and what is to leave at its end would wait. asyncio's own loops and uvloop refuse to
# be nested; nest_asyncio, and debuggers with it, patch asyncio's; others may allow it.

_STOCK = ("asyncio", "uvloop")
_RUNNERS = ("run_forever", "run_until_complete", "_run_once")

cdef PyTypeObject* _kind = NULL
cdef unsigned int _version = 0
cdef bint _may_resume = False


cdef bint may_resume(loop) except -1:
    """Return whether tasks may be resumed from a callback of ``loop``.

    Asked for each batch of reads, for a loop may be patched while it runs: two compares
    as long as its type stays as it is.
    """
    cdef PyTypeObject* kind = Py_TYPE(<PyObject*>loop)
    if kind is not _kind or kind.tp_version_tag != _version or _version == 0:
        look_at_kind(loop)
    return _may_resume


cdef int look_at_kind(loop) except -1:
    global _kind, _version, _may_resume
    kind = type(loop)
    found = kind.__module__.partition(".")[0] in _STOCK
    for name in _RUNNERS:
        found = found and _is_stock(kind, name)
    _may_resume = found
    _kind = Py_TYPE(<PyObject*>loop)
    _version = _kind.tp_version_tag
    return 0


def _is_stock(kind, name):
    """Return whether a method is asyncio's own or uvloop's, or is not there."""
    if getattr(kind, name, None) is None:  # this also has the type get its version
        return True
    home = next(base for base in kind.__mro__ if name in vars(base))
    module = getattr(vars(home)[name], "__module__", None) or home.__module__
    return module.partition(".")[0] in _STOCK


# --- operations ------------------------------------------------------------------


cdef int warn_unawaited(name) except -1:
    """Warn of a coroutine that went away before it began."""
    warnings.warn(f"coroutine '{name}' was never awaited", RuntimeWarning)
    return 0


cdef object as_exception(kind, value, traceback):
    """Return the exception that was given to ``throw()``, in one of its ways."""
    if value is None:
        value = kind() if isinstance(kind, type) else kind
    elif not isinstance(value, BaseException):
        value = kind(value)
    return value if traceback is None else value.with_traceback(traceback)


cdef object owned(PyObject* result):
    """Return a result that is ours already; raise if there is none."""
    cdef object value
    if result is NULL:
        reraise()
    value = <object>result
    Py_DECREF(result)
    return value


cdef int reraise() except -1:
    """Let the exception through that C code has set."""
    return -1


# Who asks, inspect.iscoroutinefunction() or a mock, is to be told that these are to be
# awaited; the code object of a compiled function says it, but has no setter.

cdef extern from *:
    ctypedef struct CompiledFunction "__pyx_CyFunctionObject":
        PyObject* func_code


cdef void mark_as_coroutine(function):
    cdef CompiledFunction* compiled = <CompiledFunction*><PyObject*>function
    cdef PyObject* before = compiled.func_code
    code = function.__code__
    code = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
    Py_INCREF(code)
    compiled.func_code = <PyObject*>code
    Py_DECREF(before)
