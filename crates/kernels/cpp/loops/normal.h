// Exponentials and the normal distribution, of one number or of a vector of them.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// 1.5 2^23: what a number is added to for its fraction to be rounded away.
constexpr float TO_WHOLE = 12582912.0f;

// 2^n x, given n + TO_WHOLE for a whole n.
POLYPTYCH_INLINE float raised(float x, float shifted) {
  uint32_t from, power;
  std::memcpy(&from, &x, 4);
  std::memcpy(&power, &shifted, 4);
  from += power << 23;
  std::memcpy(&x, &from, 4);
  return x;
}
POLYPTYCH_INLINE Vec raised(Vec x, Vec shifted) { return of_bits(bits(x) + (bits(shifted) << 23)); }
template <int N>
POLYPTYCH_INLINE Vecs<N> raised(const Vecs<N> &x, const Vecs<N> &shifted) {
  return Vecs<N>::of(POLYPTYCH_EACH(raised(x.at[n], shifted.at[n])));
}

POLYPTYCH_INLINE Vec magnitude(Vec x, float most) {
  Vec a = of_bits(bits(x) & 0x7fffffffU);
  return a > most ? splat(most) : a;
}
template <int N>
POLYPTYCH_INLINE Vecs<N> magnitude(const Vecs<N> &x, float most) {
  return Vecs<N>::of(POLYPTYCH_EACH(magnitude(x.at[n], most)));
}

// The distribution function of x, given its tail behind |x|.
POLYPTYCH_INLINE Vec below(Vec x, Vec tail) { return x < 0.0f ? tail : 1.0f - tail; }
template <int N>
POLYPTYCH_INLINE Vecs<N> below(const Vecs<N> &x, const Vecs<N> &tail) {
  return Vecs<N>::of(POLYPTYCH_EACH(below(x.at[n], tail.at[n])));
}

// e^y for y <= 0 to 2 units in the last place: 2^n e^r, with a Taylor series of r. Where that is
// nearly less than a whole mantissa holds, it is 0: some processors multiply smaller numbers a
// hundred times more slowly, and what masks leave out of attention would be such.
template <class F>
POLYPTYCH_INLINE F exp(F y) {
  constexpr float LOG2_E = 1.44269504f, LEAST = -87.0f;
  // ln 2 in two parts, the first of few bits.
  constexpr float LN_2 = 0.693359375f, LN_2_REST = -2.12194440e-4f;
  F near = y < LEAST ? F{} + LEAST : y;
  F shifted = near * LOG2_E + TO_WHOLE, n = shifted - TO_WHOLE;
  F r = (near - n * LN_2) - n * LN_2_REST;
  F series = r * 1.38888889e-3f + 8.33333333e-3f;
  series = series * r + 4.16666667e-2f;
  series = series * r + 1.66666667e-1f;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  return y < LEAST ? F{} : raised(series, shifted);
}

// 2^y for y >= -126 within 1e-7 of it, but for what y itself is rounded by. The series are
// `normal.py`'s; their terms are summed in pairs, which waits less than one after the other.
template <class F>
POLYPTYCH_INLINE F power_of_two(F y) {
  F shifted = y + TO_WHOLE, r = y - (shifted - TO_WHOLE);
  F square = r * r;
  F high = r * 1.32763747e-3f + 9.67553351e-3f, middle = r * 5.55071346e-2f + 2.40221202e-1f;
  F low = r * 6.93146944e-1f + 1.00000012f;
  return raised((high * square + middle) * square + low, shifted);
}

// The distribution function of the standard normal law, within 2e-7: the logarithm of the smaller
// side is nearly a parabola.
template <class F>
POLYPTYCH_INLINE F normal_cdf(const F &x) {
  constexpr float FAR = 6.0f;
  F a = magnitude(x, FAR), square = a * a;
  F fourth = a * 6.11914505e-6f - 3.24774421e-5f, third = a * -4.94713593e-4f + 7.50828935e-3f;
  F second = a * -5.27846968e-2f - 4.59120292e-1f, first = a * -1.15111497f - 0.999999822f;
  F high = fourth * square + third, low = second * square + first;
  return below(x, power_of_two(high * (square * square) + low));
}

// The same and the pdf, within 1e-7, for little more than the one: the tail behind |x| is the
// pdf times a series of |x|, the ratio of Mills.
template <class F>
struct Normal {
  F cdf, pdf;

  explicit POLYPTYCH_INLINE Normal(const F &x) {
    // Where the pdf is 2^-126.
    constexpr float FAR = 13.2f, TOP = 0.398942280f, HALF_LOG2_E = -0.721347520f;
    F a = magnitude(x, FAR), square = a * a, fourth = square * square;
    F bell = power_of_two(square * HALF_LOG2_E);
    F high = (a * -2.89953459e-5f + 2.95166392e-4f) + square * 1.27131591e-6f;
    F third = a * -1.80141430e-3f + 7.54186884e-3f, second = a * -2.37628724e-2f + 6.07017316e-2f;
    F first = a * -1.32305562e-1f + 2.49869555e-1f, zeroth = a * -3.98932487e-1f + 4.99999881e-1f;
    F ratio = ((high * square + third) * fourth + (second * square + first)) * square + zeroth;
    cdf = below(x, ratio * bell);
    pdf = bell * TOP;
  }
};

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
