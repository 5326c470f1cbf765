/* The clock of time.monotonic(), without an object for each look at it. */
#ifndef LONGWIRE_CLOCK_H
#define LONGWIRE_CLOCK_H

#include <time.h>

static inline double lw_now(void) {
    struct timespec now;
#ifdef __APPLE__
    /* What mach_absolute_time() counts, which CPython asks there. */
    clock_gettime(CLOCK_UPTIME_RAW, &now);
#else
    clock_gettime(CLOCK_MONOTONIC, &now);
#endif
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

#endif
