// Every loop over numbers, once for each kind of vectors: `loops/` is read as often, each time in
// another namespace, with vectors of as many lanes as a register of that kind has. Compilers make
// slow code of wider ones.
#pragma once

#include "polyptych-kernels/cpp/arguments.h"
#include "polyptych-kernels/cpp/cpu.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

// What one kind of vectors is called, how many numbers of 32 bits they have, and how many sums of a
// product its registers hold beside two columns and a factor.
#define POLYPTYCH_LEVEL plain
#define POLYPTYCH_LANES 4
#define POLYPTYCH_SUMS 12
#include "polyptych-kernels/cpp/loops/all.h"
#undef POLYPTYCH_LEVEL
#undef POLYPTYCH_LANES
#undef POLYPTYCH_SUMS

#ifdef POLYPTYCH_X86_LEVELS

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2")
#endif
#define POLYPTYCH_LEVEL avx2
#define POLYPTYCH_LANES 8
#define POLYPTYCH_SUMS 12
#include "polyptych-kernels/cpp/loops/all.h"
#undef POLYPTYCH_LEVEL
#undef POLYPTYCH_LANES
#undef POLYPTYCH_SUMS
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#endif
#define POLYPTYCH_LEVEL avx512
#define POLYPTYCH_LANES 16
#define POLYPTYCH_SUMS 24
#include "polyptych-kernels/cpp/loops/all.h"
#undef POLYPTYCH_LEVEL
#undef POLYPTYCH_LANES
#undef POLYPTYCH_SUMS
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

// A name or a call of `loops/`, of the vectors that this process uses.
#define POLYPTYCH_BEST(...)                                                                  \
  (level() >= Level::avx512 ? avx512::__VA_ARGS__                                            \
                            : level() == Level::avx2 ? avx2::__VA_ARGS__ : plain::__VA_ARGS__)

#else

#define POLYPTYCH_BEST(...) (plain::__VA_ARGS__)

#endif
