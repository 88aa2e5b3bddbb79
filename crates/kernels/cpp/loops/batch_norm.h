// Batch normalisation and the ReLU behind it.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows for which a sum stays in a register.
constexpr int64_t TOGETHER = 8;

// f(at, slot) for vectors of channels: the last one overlaps the one before, and has a slot of its
// own for sums.
template <class F>
POLYPTYCH_INLINE void over_channels(int64_t channels, F f) {
  for (int64_t c = 0; c < channels; c += VEC) f(std::min(c, channels - VEC), c);
}

// Sums of the distances to a centre and of their squares.
template <class T>
struct Moments {
  const T *x;

  template <int ROWS>
  POLYPTYCH_INLINE void add(int64_t from, int64_t at, const Channels &all, Vec &a, Vec &b) const {
    auto centre = load_vec(all.mean + at);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      auto apart = load_vec(x + from + r * all.count) - centre;
      a += apart;
      b += apart * apart;
    }
  }
};

// Sums of the gradient that passes the ReLU, and of its product with the distance to the mean.
template <class T>
struct Passed {
  const T *x, *g;

  template <int ROWS>
  POLYPTYCH_INLINE void add(int64_t from, int64_t at, const Channels &all, Vec &a, Vec &b) const {
    auto gain = load_vec(all.gain + at), shift = load_vec(all.shift + at);
    auto mean = load_vec(all.mean + at);
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; r++) {
      auto v = load_vec(x + from + r * all.count);
      auto passed = v * gain + shift > 0.0f ? load_vec(g + from + r * all.count) : Vec{};
      a += passed;
      b += passed * (v - mean);
    }
  }
};

template <int ROWS, class Terms>
POLYPTYCH_INLINE void add_together(const Terms &terms, int64_t row, const Channels &all, float *a,
                                   float *b) {
  over_channels(all.count, [&](int64_t at, int64_t slot) {
    auto first = load_vec(a + slot), second = load_vec(b + slot);
    terms.template add<ROWS>(row * all.count + at, at, all, first, second);
    store_vec(first, a + slot);
    store_vec(second, b + slot);
  });
}

template <class Terms>
POLYPTYCH_INLINE void add_block(const Terms &terms, int64_t row, int64_t end, const Channels &all,
                                float *a, float *b) {
  for (; row + TOGETHER <= end; row += TOGETHER) add_together<TOGETHER>(terms, row, all, a, b);
  for (; row < end; row++) add_together<1>(terms, row, all, a, b);
}

template <class T>
void add_moments(const T *x, int64_t row, int64_t end, const Channels &all, float *a, float *b) {
  add_block(Moments<T>{x}, row, end, all, a, b);
}
template <class T>
void add_passed(const T *x, const T *g, int64_t row, int64_t end, const Channels &all, float *a,
                float *b) {
  add_block(Passed<T>{x, g}, row, end, all, a, b);
}

template <class T>
void scaled_relu(const T *x, int64_t rows, const Channels &all, T *out) {
  for (int64_t r = 0; r < rows; r++)
    over_channels(all.count, [&](int64_t at, int64_t) {
      auto from = r * all.count + at;
      auto v = load_vec(x + from) * load_vec(all.gain + at) + load_vec(all.shift + at);
      // No number stays none.
      store_vec(v <= 0.0f ? Vec{} : v, out + from);
    });
}

// gain passed - flat - slope (x - mean)
template <class T>
void norm_gradient(const T *x, const T *g, int64_t rows, const Channels &all, const float *flat,
                   const float *slope, T *out) {
  for (int64_t r = 0; r < rows; r++)
    over_channels(all.count, [&](int64_t at, int64_t) {
      auto from = r * all.count + at;
      auto v = load_vec(x + from), gain = load_vec(all.gain + at);
      auto passes = v * gain + load_vec(all.shift + at) > 0.0f;
      auto passed = passes ? gain * load_vec(g + from) : Vec{};
      auto along = load_vec(slope + at) * (v - load_vec(all.mean + at));
      store_vec(passed - load_vec(flat + at) - along, out + from);
    });
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
