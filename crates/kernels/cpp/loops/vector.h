// Numbers side by side in one register, where arrays would go through memory.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

constexpr int64_t VEC = POLYPTYCH_LANES;

// One register.
typedef float Vec __attribute__((vector_size(4 * VEC)));
typedef uint32_t Bits __attribute__((vector_size(4 * VEC)));
typedef uint16_t Bf16s __attribute__((vector_size(2 * VEC)));

// Every lane the same.
POLYPTYCH_INLINE Vec splat(float x) { return Vec{} + x; }

POLYPTYCH_INLINE Bits bits(Vec x) {
  Bits out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}

POLYPTYCH_INLINE Vec of_bits(Bits x) {
  Vec out;
  std::memcpy(&out, &x, sizeof out);
  return out;
}

POLYPTYCH_INLINE Vec load_vec(const float *from) {
  Vec out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

#if POLYPTYCH_LANES == 16
// One shuffle each, where compilers make half a dozen instructions of a cast.
typedef uint16_t Parts __attribute__((vector_size(4 * VEC)));

template <int... PART>
POLYPTYCH_INLINE Parts widened(Bf16s numbers, std::integer_sequence<int, PART...>) {
  return __builtin_shufflevector(numbers, Bf16s{}, (PART % 2 == 0 ? VEC : PART / 2)...);
}
template <int... LANE>
POLYPTYCH_INLINE Bf16s upper_parts(Parts parts, std::integer_sequence<int, LANE...>) {
  return __builtin_shufflevector(parts, parts, (2 * LANE + 1)...);
}

// Numbers of bfloat16 as bits of float32, and the upper halves of such.
POLYPTYCH_INLINE Bits widened(Bf16s numbers) {
  Parts parts = widened(numbers, std::make_integer_sequence<int, 2 * VEC>());
  Bits out;
  std::memcpy(&out, &parts, sizeof out);
  return out;
}
POLYPTYCH_INLINE Bf16s upper(Bits x) {
  Parts parts;
  std::memcpy(&parts, &x, sizeof parts);
  return upper_parts(parts, std::make_integer_sequence<int, VEC>());
}
#else
// Numbers of bfloat16 as bits of float32, and the upper halves of such.
POLYPTYCH_INLINE Bits widened(Bf16s numbers) {
  return __builtin_convertvector(numbers, Bits) << 16;
}
POLYPTYCH_INLINE Bf16s upper(Bits x) { return __builtin_convertvector(x >> 16, Bf16s); }
#endif

POLYPTYCH_INLINE Vec load_vec(const uint16_t *from) {
  Bf16s numbers;
  std::memcpy(&numbers, from, sizeof numbers);
  return of_bits(widened(numbers));
}

POLYPTYCH_INLINE void store_vec(Vec x, float *to) { std::memcpy(to, &x, sizeof x); }

// To the nearest, and to even where two are as near, as `narrow` does.
POLYPTYCH_INLINE void store_vec(Vec x, uint16_t *to) {
  Bits from = bits(x), rounded = from + 0x7fffU + ((from >> 16) & 1U);
  rounded = x == x ? rounded : Bits{} + 0x7fc00000U;
  auto numbers = upper(rounded);
  std::memcpy(to, &numbers, sizeof numbers);
}

// Sum of the numbers of a vector, pairwise; compilers take scalars one by one where nothing says
// otherwise.
POLYPTYCH_INLINE float sum_of(const float *lanes) {
  typedef float Four __attribute__((vector_size(16)));
#if POLYPTYCH_LANES > 4
  typedef float Eight __attribute__((vector_size(32)));
  Eight eight;
  std::memcpy(&eight, lanes, sizeof eight);
#if POLYPTYCH_LANES > 8
  Eight high;
  std::memcpy(&high, lanes + 8, sizeof high);
  eight = eight + high;
#endif
  Four four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
              __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#else
  Four four;
  std::memcpy(&four, lanes, sizeof four);
#endif
  auto two = four + __builtin_shufflevector(four, four, 2, 3, 0, 1);
  return two[0] + two[1];
}
POLYPTYCH_INLINE float sum_of(Vec x) {
  float lanes[VEC];
  store_vec(x, lanes);
  return sum_of(lanes);
}

// N vectors, each step of all of which comes before the next step: the steps of one depend on each
// other, and the instruction window of a processor is too short to find the work of another.
template <int N>
struct Vecs {
  Vec at[N];

  // f(n) for every n.
  template <class F>
  static POLYPTYCH_INLINE Vecs of(F f) {
    Vecs out;
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) out.at[n] = f(n);
    return out;
  }
};

#define POLYPTYCH_VECS_OPERATOR(OP)                                          \
  template <int N>                                                           \
  POLYPTYCH_INLINE Vecs<N> operator OP(const Vecs<N> &a, const Vecs<N> &b) { \
    return Vecs<N>::of(POLYPTYCH_EACH(a.at[n] OP b.at[n]));                  \
  }                                                                          \
  template <int N>                                                           \
  POLYPTYCH_INLINE Vecs<N> operator OP(const Vecs<N> &a, float b) {          \
    return Vecs<N>::of(POLYPTYCH_EACH(a.at[n] OP b));                        \
  }
POLYPTYCH_VECS_OPERATOR(+)
POLYPTYCH_VECS_OPERATOR(-)
POLYPTYCH_VECS_OPERATOR(*)
#undef POLYPTYCH_VECS_OPERATOR

// The same columns of N lines at most.
template <int64_t N>
struct Lines {
  Vec at[N];

  POLYPTYCH_INLINE void read(const float *from, int64_t count, int64_t line) {
    for (int64_t r = 0; r < count; r++) at[r] = load_vec(from + r * line);
  }
  POLYPTYCH_INLINE void clear(int64_t count) {
    for (int64_t r = 0; r < count; r++) at[r] = Vec{};
  }
  POLYPTYCH_INLINE void add_to(float *to, int64_t count, int64_t line) const {
    for (int64_t r = 0; r < count; r++) store_vec(load_vec(to + r * line) + at[r], to + r * line);
  }
  // x + sum_r factor_r line_r.
  POLYPTYCH_INLINE Vec onto(Vec x, const float *factors, int64_t count) const {
    for (int64_t r = 0; r < count; r++) x += factors[r] * at[r];
    return x;
  }
  // line_r += factor_r x.
  POLYPTYCH_INLINE void add(const float *factors, Vec x, int64_t count) {
    for (int64_t r = 0; r < count; r++) at[r] += factors[r] * x;
  }
  // sums_r += line_r x, lane by lane.
  POLYPTYCH_INLINE void dots(Vec x, float *sums, int64_t count) const {
    for (int64_t r = 0; r < count; r++)
      store_vec(load_vec(sums + r * VEC) + at[r] * x, sums + r * VEC);
  }
};

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
