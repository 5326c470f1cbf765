cpdef Py_ssize_t memory_of(payload) except -1
