/* The poller: which descriptors are ready, by epoll or kqueue; level-triggered.
 *
 * One face over both, for reactor.pyx. A descriptor is registered with a tag that comes
 * back with its events, and with what it is interested in, which is never nothing: who
 * wants nothing is removed. Functions return -1 and set errno when they fail.
 */
#ifndef LONGWIRE_POLLER_H
#define LONGWIRE_POLLER_H

#include <errno.h>
#include <stdint.h>

#define LW_READ 1   /* bytes to read, the end of the stream, or a connection to accept */
#define LW_WRITE 2  /* room to write */
#define LW_BROKEN 4 /* an error, or both directions have ended */

typedef struct {
    uint64_t tag;
    int events;
} lw_event;

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__linux__) && !defined(LONGWIRE_KQUEUE)

#define LW_POLLER "epoll"
#define LW_INHERITED 1 /* a forked child has it too, and shares it */
#include <sys/epoll.h>

static inline int lw_poller_open(void) { return epoll_create1(EPOLL_CLOEXEC); }

static inline int lw_poller_control(int poller, int operation, int fd, int interest,
                             uint64_t tag) {
    struct epoll_event event;
    event.events = (interest & LW_READ ? EPOLLIN : 0) |
                   (interest & LW_WRITE ? EPOLLOUT : 0);
    event.data.u64 = tag;
    return epoll_ctl(poller, operation, fd, &event);
}

static inline int lw_poller_add(int poller, int fd, int interest, uint64_t tag) {
    return lw_poller_control(poller, EPOLL_CTL_ADD, fd, interest, tag);
}

static inline int lw_poller_change(int poller, int fd, int before, int interest,
                            uint64_t tag) {
    (void)before;
    return lw_poller_control(poller, EPOLL_CTL_MOD, fd, interest, tag);
}

static inline int lw_poller_remove(int poller, int fd, int interest) {
    (void)interest;
    return lw_poller_control(poller, EPOLL_CTL_DEL, fd, 0, 0);
}

/* Returns how many of at most `most` events were stored; never waits. */
static inline int lw_poller_take(int poller, lw_event *to, int most) {
    struct epoll_event found[256];
    int i, count;
    if (most > 256) most = 256;
    do {
        count = epoll_wait(poller, found, most, 0);
    } while (count < 0 && errno == EINTR);
    for (i = 0; i < count; i++) {
        uint32_t events = found[i].events;
        to[i].tag = found[i].data.u64;
        to[i].events = (events & EPOLLIN ? LW_READ : 0) |
                       (events & EPOLLOUT ? LW_WRITE : 0) |
                       (events & (EPOLLERR | EPOLLHUP) ? LW_BROKEN : 0);
    }
    return count;
}

static inline int lw_accept(int listener, struct sockaddr *address, socklen_t *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

#else /* the BSDs and macOS */

#define LW_POLLER "kqueue"
#define LW_INHERITED 0 /* a forked child does not have it */
#include <sys/event.h>
#include <sys/time.h>

static inline int lw_poller_open(void) {
    int poller = kqueue();
    if (poller >= 0) fcntl(poller, F_SETFD, FD_CLOEXEC);
    return poller;
}

/* kqueue has one filter for each direction, and wants to hear of changes only. */
static inline int lw_poller_change(int poller, int fd, int before, int interest,
                            uint64_t tag) {
    struct kevent changes[2];
    int count = 0;
    if ((before ^ interest) & LW_READ) {
        EV_SET(&changes[count], fd, EVFILT_READ,
               interest & LW_READ ? EV_ADD : EV_DELETE, 0, 0, (void *)(uintptr_t)tag);
        count++;
    }
    if ((before ^ interest) & LW_WRITE) {
        EV_SET(&changes[count], fd, EVFILT_WRITE,
               interest & LW_WRITE ? EV_ADD : EV_DELETE, 0, 0, (void *)(uintptr_t)tag);
        count++;
    }
    return count ? kevent(poller, changes, count, NULL, 0, NULL) : 0;
}

static inline int lw_poller_add(int poller, int fd, int interest, uint64_t tag) {
    return lw_poller_change(poller, fd, 0, interest, tag);
}

static inline int lw_poller_remove(int poller, int fd, int interest) {
    return lw_poller_change(poller, fd, interest, 0, 0);
}

static inline int lw_poller_take(int poller, lw_event *to, int most) {
    struct kevent found[256];
    struct timespec none = {0, 0};
    int i, count;
    if (most > 256) most = 256;
    do {
        count = kevent(poller, NULL, 0, found, most, &none);
    } while (count < 0 && errno == EINTR);
    for (i = 0; i < count; i++) {
        to[i].tag = (uint64_t)(uintptr_t)found[i].udata;
        to[i].events = found[i].filter == EVFILT_READ ? LW_READ : LW_WRITE;
        if (found[i].flags & EV_ERROR) to[i].events |= LW_BROKEN;
    }
    return count;
}

static inline int lw_accept(int listener, struct sockaddr *address, socklen_t *length) {
    int fd = accept(listener, address, length);
    if (fd >= 0) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    return fd;
}

#endif

#ifdef MSG_NOSIGNAL
#define LW_NOSIGNAL MSG_NOSIGNAL
#else
#define LW_NOSIGNAL 0 /* Python ignores SIGPIPE anyway */
#endif

/* Writes pieces one after the other; returns how many bytes the kernel took. */
static inline ssize_t lw_send_pieces(int fd, struct iovec *pieces, int count) {
    struct msghdr message = {0};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    return sendmsg(fd, &message, LW_NOSIGNAL);
}

#endif
