/* Addresses of sockets: asked for, and taken apart, without a socket object. */
#ifndef LONGWIRE_ADDRESSES_H
#define LONGWIRE_ADDRESSES_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

typedef struct {
    socklen_t size;
    struct sockaddr_storage at;
} lw_address;

#define LW_ADDRESS_INET 1
#define LW_ADDRESS_INET6 2
#define LW_ADDRESS_UNIX 3 /* host is a path, ended by a zero */
#define LW_ADDRESS_ABSTRACT 4 /* host is a name of numbers[0] bytes, on Linux */

/* Where accept() or getsockname() puts an address; what it leaves is zero. */
static inline struct sockaddr *lw_address_room(lw_address *address) {
    memset(&address->at, 0, sizeof address->at);
    address->size = sizeof address->at;
    return (struct sockaddr *)&address->at;
}

static inline int lw_sockname(int fd, lw_address *address) {
    return getsockname(fd, lw_address_room(address), &address->size);
}

#define LW_PEER_THERE 0
#define LW_PEER_HUNG_UP 1 /* has sent the end of its stream, and may read on */
#define LW_PEER_GONE 2    /* has reset the connection */

/* POSIX has no name for the end of one direction; without one it is not looked for. */
#ifdef POLLRDHUP
#define LW_POLL_END POLLRDHUP
#else
#define LW_POLL_END 0
#endif

/* Returns how the peer of an accepted socket is. */
static inline int lw_peer_state(int fd) {
    struct pollfd it = {fd, LW_POLL_END, 0};
    if (poll(&it, 1, 0) <= 0) return LW_PEER_THERE;
    return it.revents & (POLLERR | POLLNVAL) ? LW_PEER_GONE : LW_PEER_HUNG_UP;
}

/* Returns what kind it is, 0 for one that only the socket module knows. `host` is as
 * many bytes as a path has at most; `numbers` are port, flow and scope. */
static inline int lw_address_parts(const lw_address *address, char *host,
                                   unsigned int *numbers) {
    switch (address->at.ss_family) {
    case AF_INET: {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address->at;
        if (!inet_ntop(AF_INET, &in->sin_addr, host, INET_ADDRSTRLEN)) return 0;
        numbers[0] = ntohs(in->sin_port);
        return LW_ADDRESS_INET;
    }
    case AF_INET6: {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address->at;
        if (!inet_ntop(AF_INET6, &in->sin6_addr, host, INET6_ADDRSTRLEN)) return 0;
        numbers[0] = ntohs(in->sin6_port);
        numbers[1] = ntohl(in->sin6_flowinfo);
        numbers[2] = in->sin6_scope_id;
        return LW_ADDRESS_INET6;
    }
    case AF_UNIX: {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&address->at;
        size_t head = offsetof(struct sockaddr_un, sun_path);
        memcpy(host, un->sun_path, sizeof un->sun_path);
        host[sizeof un->sun_path] = 0;
#ifdef __linux__
        if (address->size > head && host[0] == 0) {
            numbers[0] = (unsigned int)(address->size - head);
            return LW_ADDRESS_ABSTRACT;
        }
#else
        (void)head;
#endif
        return LW_ADDRESS_UNIX;
    }
    default:
        return 0;
    }
}

/* Returns whether lw_address_parts() knows its family. */
static inline int lw_is_usual(const lw_address *address) {
    int family = address->at.ss_family;
    return family == AF_INET || family == AF_INET6 || family == AF_UNIX;
}

/* Has small writes leave at once (RFC 1122 section 4.2.3.4 lets TCP keep them). */
static inline int lw_set_nodelay(int fd) {
    int on = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Returns whether they do, -1 where that cannot be known. */
static inline int lw_has_nodelay(int fd) {
    int on = 0;
    socklen_t size = sizeof on;
    if (getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size) < 0) return -1;
    return on != 0;
}

#endif
