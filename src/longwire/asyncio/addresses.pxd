cdef extern from "addresses.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        pass
    ctypedef struct lw_address:
        socklen_t size
    sockaddr* lw_address_room(lw_address* address)
    int lw_sockname(int fd, lw_address* address)
    int LW_PEER_GONE, LW_PEER_HUNG_UP
    int lw_peer_state(int fd)
    bint lw_is_usual(const lw_address* address)
    int lw_set_nodelay(int fd)
    int lw_has_nodelay(int fd)


cdef bytes kept(lw_address* address)
cdef object shown(const lw_address* address)
cdef object shown_of(bytes address)
