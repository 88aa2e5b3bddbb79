// What tiles of a head's hidden layer become.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// What tiles of the hidden layer, before its normalisation and without a bias, become: each of these
// gets M pixels, from `pixel` on, of N vectors of channels, from `at` on, of a strip and a block.

// Sums of the distances to a centre and of their squares.
struct TileMoments {
  const float *centre;
  float *first, *second;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto middle = load_vec(centre + own), a = load_vec(first + own), b = load_vec(second + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto apart = tile[m][n] - middle;
        a += apart;
        b += apart * apart;
      }
      store_vec(a, first + own);
      store_vec(b, second + own);
    }
  }
};

// The normalised layer.
struct TileOutput {
  Channels channels;
  float *out;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto v = tile[m][n] * gain + shift;
        // No number stays none.
        store_vec(v <= 0.0f ? Vec{} : v, out + (pixel + m) * channels.count + own);
      }
    }
  }
};

// The normalised layer, and sums of the gradient that passes the ReLU and of its product with the
// distance to the mean.
struct TileSums {
  Channels channels;
  const float *g;
  float *first, *second, *out;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
      auto mean = load_vec(channels.mean + own);
      auto a = load_vec(first + own), b = load_vec(second + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto place = (pixel + m) * channels.count + own;
        auto v = tile[m][n] * gain + shift;
        auto passed = v > 0.0f ? load_vec(g + place) : Vec{};
        a += passed;
        b += passed * (tile[m][n] - mean);
        store_vec(v <= 0.0f ? Vec{} : v, out + place);
      }
      store_vec(a, first + own);
      store_vec(b, second + own);
    }
  }
};

// The gradient by the layer, in the place of that by the normalised one: gain passed - flat -
// slope (x - mean).
struct TileGradient {
  Channels channels;
  const float *flat, *slope;
  float *g;

  template <int M, int N>
  POLYPTYCH_INLINE void take(int64_t pixel, int64_t at, Vec (&tile)[M][N]) const {
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) {
      auto own = at + n * VEC;
      auto gain = load_vec(channels.gain + own), shift = load_vec(channels.shift + own);
      auto mean = load_vec(channels.mean + own), along = load_vec(slope + own);
      auto level = load_vec(flat + own);
#pragma GCC unroll 24
      for (int m = 0; m < M; m++) {
        auto place = g + (pixel + m) * channels.count + own;
        auto passes = tile[m][n] * gain + shift > 0.0f;
        auto passed = passes ? gain * load_vec(place) : Vec{};
        store_vec(passed - level - along * (tile[m][n] - mean), place);
      }
    }
  }
};

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
