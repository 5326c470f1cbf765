from cpython.object cimport PyObject


cdef class Waiter:
    cdef public object _asyncio_future_blocking
    cdef object _loop
    cdef object callback
    cdef object context
    cdef list others
    cdef object message
    cdef int state

    @staticmethod
    cdef Waiter of(loop)
    cdef int wake(self, bint direct) except -1
    cdef int call_back(self, bint direct) except -1
    cdef int run(self, callback, context) except -1


cdef bint may_resume(loop) except -1
cdef int warn_unawaited(name) except -1
cdef object as_exception(kind, value, traceback)
cdef object owned(PyObject* result)
cdef void mark_as_coroutine(function)
