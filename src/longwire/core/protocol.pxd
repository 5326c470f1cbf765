cimport cython

from longwire.core.assembler cimport Assembler
from longwire.core.deflate cimport Codec
from longwire.core.frames cimport FrameReader, parse_close, serialize_close
from longwire.core.masking cimport build_frame, build_header


cdef int _CONT
cdef int _TEXT
cdef int _BINARY
cdef int _CLOSE
cdef int _PING
cdef int _PONG
cdef int _FIN
cdef int _RSV1
cdef Py_ssize_t _LARGE
cdef Py_ssize_t _POOL


@cython.final
cdef class Protocol:
    cdef readonly bint client
    cdef readonly Codec codec
    cdef readonly tuple extensions
    cdef readonly int state
    cdef readonly bint mid_message
    cdef readonly Py_ssize_t output_size
    cdef readonly bint output_large
    cdef readonly tuple close_sent
    cdef readonly tuple close_received
    cdef readonly bint close_received_first
    cdef readonly unsigned long long bytes_received
    cdef readonly unsigned long long bytes_sent
    cdef readonly unsigned long long messages_received
    cdef readonly unsigned long long messages_sent
    cdef bint _ends_cleanly
    cdef FrameReader _reader
    cdef Assembler _assembler
    cdef bint _begun
    cdef bytearray _wire
    cdef bint _input_ended
    cdef bint _skipping
    cdef int _phase
    cdef bint _can_send
    cdef bint _can_pong
    cdef int _sending
    cdef bint _sending_compressed
    cdef list _output
    cdef object _random_bytes
    cdef bytes _keys
    cdef Py_ssize_t _keys_at

    cpdef receive(self, bytes data)
    @cython.locals(event=tuple)
    cpdef tuple next_event(self)
    cpdef Py_ssize_t partial(self) except -1
    cpdef Py_ssize_t memory(self) except -1
    cpdef skip_messages(self)
    @cython.locals(unread=Py_ssize_t, event=tuple, kind=int)
    cpdef Py_ssize_t end_input(self) except -1
    @cython.locals(
        reader=FrameReader, assembler=Assembler, codec=Codec, compressed=bint,
        event=tuple,
    )
    cdef tuple _read_event(self)
    cdef tuple _end_frame(self, tuple event)
    @cython.locals(reader=FrameReader)
    cdef tuple _skip_event(self)
    cdef _count_piece(self, bint fin)
    @cython.locals(
        reader=FrameReader, assembler=Assembler, whole=bint, payload=bytes, event=tuple
    )
    cdef tuple _read_extended(self)
    @cython.locals(rsv=int, compressible=bint)
    cdef bytes _decode(self, bytes payload)
    @cython.locals(payload=bytes, close=tuple)
    cdef tuple _read_control(self)
    cdef _end_input(self)

    @cython.locals(first=int)
    cpdef send_message(self, int opcode, payload, bint fin=*, bint compress=*)
    cdef _check_turn(self, int opcode)
    cpdef send_encoded(self, bytes data, unsigned long long messages=*)
    cpdef send_ping(self, payload)
    cpdef send_pong(self, payload)
    cpdef send_close(self, code, str reason=*)
    cpdef lost(self)
    @cython.locals(output=list, data=bytes)
    cpdef bytes take_output(self)
    @cython.locals(pieces=list)
    cpdef list take_pieces(self)
    cdef _move(self, int event)
    cdef _put_control(self, int opcode, payload)
    @cython.locals(at=Py_ssize_t)
    cdef _put_frame(self, int first, payload)
    cdef bint _is_worth_it(self, payload, bint fin) except -1
    @cython.locals(codec=Codec)
    cdef _put_compressed(self, int first, payload, bint fin)
    @cython.locals(fin=bint, rsv=int)
    cdef _put_extended(self, int first, payload)
    cdef _put(self, bytes data)
    @cython.locals(at=Py_ssize_t)
    cdef Py_ssize_t _next_key(self) except -1


cdef bytes _to_bytes(payload)
