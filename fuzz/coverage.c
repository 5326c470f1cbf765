/* Tells libFuzzer where the compiled modules have been.

   GCC marks every branch with a call of __sanitizer_cov_trace_pc(), libFuzzer looks at
   counters: each place of the code gets one, by a hash of its address. Preloaded before
   libFuzzer, whose own function of that name does nothing. */

#include <stddef.h>
#include <stdint.h>

enum { BITS = 16, SLOTS = 1 << BITS };

static uint8_t counters[SLOTS];
static uintptr_t places[2 * SLOTS]; /* pairs of address and flags, as libFuzzer has them */

void __sanitizer_cov_8bit_counters_init(uint8_t *, uint8_t *) __attribute__((weak));
void __sanitizer_cov_pcs_init(const uintptr_t *, const uintptr_t *) __attribute__((weak));

void __sanitizer_cov_trace_pc(void) {
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint64_t slot = ((uint64_t)place * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - BITS);
    places[2 * slot] = place;
    counters[slot] += counters[slot] != UINT8_MAX;
}

/* Of comparisons GCC reports more than libFuzzer asks for. */
void __sanitizer_cov_trace_cmpf(float a, float b) {
    (void)a, (void)b;
}

void __sanitizer_cov_trace_cmpd(double a, double b) {
    (void)a, (void)b;
}

/* Called once libFuzzer is there. */
void longwire_register_coverage(void) {
    __sanitizer_cov_8bit_counters_init(counters, counters + SLOTS);
    __sanitizer_cov_pcs_init(places, places + 2 * SLOTS);
}
