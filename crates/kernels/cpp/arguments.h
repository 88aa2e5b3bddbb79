// What loops are given: numbers, addresses and sizes, the same for every kind of vectors.
#pragma once

#include "polyptych-kernels/cpp/tensors.h"

namespace polyptych {

// Lanes of the widest vectors: rooms and lines that end with a whole one end so for all.
constexpr int64_t WIDEST = 16;
constexpr uint32_t NUMBERED[WIDEST] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

inline int64_t up_to(int64_t count, int64_t step) { return (count + step - 1) / step * step; }

// So many numbers a buffer of a row has.
inline int64_t whole(int64_t count) { return up_to(count, WIDEST); }

// Longest row that is treated in one piece.
constexpr int64_t LONGEST = 4096;

// What a lambda says that becomes part of the loop around it, with its vectors.
#if defined(__GNUC__)
#define POLYPTYCH_WITHIN __attribute__((always_inline))
#else
#define POLYPTYCH_WITHIN
#endif
#define POLYPTYCH_EACH(...) [&](int n) POLYPTYCH_WITHIN { return __VA_ARGS__; }

// A mask of dropout from a counter.
struct Mask {
  uint32_t key, step, threshold;
  float scale;

  Mask(uint64_t seed, double p)
      : key(static_cast<uint32_t>(seed)),
        step(static_cast<uint32_t>(seed >> 32) | 1U),
        threshold(static_cast<uint32_t>(p * 4294967296.0)),
        scale(static_cast<float>(1.0 / (1.0 - p))) {}
};

// Parameters of the channels of a batch normalisation; `mean` is what the input is measured from.
struct Channels {
  int64_t count;
  const float *gain, *shift, *mean;
};

// Pixels that are taken side by side, plane by plane, and of which one sum is taken: whole strips.
constexpr int64_t PIXELS = 64, PATCH = 64 * PIXELS;

inline double pixel_sum(const float *lanes) { return std::accumulate(lanes, lanes + PIXELS, 0.0); }

// Of a cross entropy. Handed on by value: a loop that writes floats could change one that is
// referred to.
struct Classes {
  int64_t count, plane;
  // Part of the target that is spread over all classes, and weight of class 0.
  float spread, background;
};

// What a patch of pixels sums, lane by lane.
struct Sums {
  float loss[PIXELS] = {0}, weight[PIXELS] = {0}, labelled[PIXELS] = {0}, outside[PIXELS] = {0};

  void store(double *to) const {
    for (auto lanes : {loss, weight, labelled, outside}) *to++ = pixel_sum(lanes);
  }
};

// Columns of a narrow product that are treated together.
constexpr int64_t STRIP = 64;
// Ranks of its instances: of a task, up to which loops beat products, and the most of tasks, whose
// products are as many small ones.
constexpr int64_t RANK_OF_TASK = 4, NARROW = 16, NARROW_OF_TASKS = 64;
// Rows that are treated together: what they sum stays in the nearest cache.
constexpr int64_t TASK_ROWS = 32;

// Width of a line that ends with a strip.
inline int64_t padded(int64_t width) { return up_to(width, STRIP); }

// base + low_t up_t for every task.
struct Update {
  int64_t tasks, rows, rank, width;
};

// gelu(base + low_t up_t) down_t^T for every task. Lines of matrices are padded to whole strips.
struct Hidden {
  int64_t tasks, rows, in, width, out;
  int64_t line() const { return padded(width); }
};

// Vectors of channels, or of a plane's row, that are resized side by side.
constexpr int64_t MIXED_VECS = 4;

// What each new position of an axis is the weighted sum of: positions one after the other, from
// `first` on.
struct Taps {
  std::vector<int64_t> first;
  std::vector<std::vector<float>> weights;

  explicit Taps(int64_t count) : first(count), weights(count) {}

  void add(int64_t to, int64_t from, float weight) {
    auto &own = weights[to];
    if (own.empty()) first[to] = from;
    // At the end of an axis both neighbours are its last position.
    if (from < first[to] + static_cast<int64_t>(own.size()))
      own.back() += weight;
    else
      own.push_back(weight);
  }
};

// One of the maps that are summed, [batch, height, width, channels].
template <class T>
struct Side {
  const T *map;
  int64_t height, width;
  Taps down, across;
};

// The gradient by one of them: `down` is what each new row was made of, `across` what arrives at
// each old position.
template <class T>
struct Coarse {
  T *map;
  int64_t height, width;
  Taps down, across;
};

// out relu(norm(x W^T + resized coarse maps)) of maps, a strip of rows and a block of hidden channels
// at a time. Matrices end with zeros up to whole blocks of hidden channels, `line` numbers, and up to
// whole vectors of their other side.
template <class T>
struct FusedHead {
  int64_t height, width, in, hidden, out, strip, block, line;
  // [batch, height, width, in].
  const float *x;
  // [batch, h, w, hidden] each.
  std::vector<Side<T>> sides;
  // W^T: [in, line], W: [line, in], of the second layer [line, out] and [out, line].
  const float *weight, *weight_by_rows, *out_weight, *out_weight_by_rows;
  // Scale, shift and mean of each hidden channel, `line` of each.
  const float *gain, *shift, *mean;

  int64_t blocks() const { return line / block; }
  int64_t strips() const { return (height + strip - 1) / strip; }
  int64_t pixels() const { return height * width; }
  int64_t strip_numbers() const { return strip * width * block; }
  Channels channels(int64_t first) const {
    return {block, gain + first, shift + first, mean + first};
  }
};

// Maps of one image, and the hidden channels that are computed.
struct HeadPart {
  int64_t image, first;
};

// Gradients of a part. x: [pixels, whole(in)]; weight: [in, block].
template <class T>
struct HeadGradients {
  // [batch, height, width, out].
  const float *g;
  const float *flat, *slope;
  std::vector<Coarse<T>> sides;
  float *x, *weight;
};

// Weights of positions that one row of a plane consists of, each a whole number of vectors.
struct Across {
  std::vector<int64_t> first;
  std::vector<float> weights;
  int64_t each = WIDEST;

  explicit Across(const Taps &taps) : first(taps.first) {
    for (auto &own : taps.weights) each = std::max(each, whole(static_cast<int64_t>(own.size())));
    weights.resize(first.size() * each);
    for (size_t i = 0; i < first.size(); i++)
      std::copy(taps.weights[i].begin(), taps.weights[i].end(), weights.begin() + i * each);
  }
};

// A row's largest score and the inverse of the sum of e^(score - top).
struct Top {
  float top, inverse;
};

// One head of attention among `tokens`.
struct Head {
  int64_t tokens, width;
  // Numbers from token to token of queries, keys and values, and of the output; from the queries to
  // the keys, and from those to the values.
  int64_t line, out_line, part;

  float scale() const { return 1.0f / std::sqrt(static_cast<float>(width)); }
  int64_t square() const { return tokens * tokens; }
};

// Heads of a batch, of which every `period`-th entry has the same bias.
struct Heads {
  Head head;
  int64_t entries, heads, period;
  bool has_bias;
  // Whether numbers of bfloat16 are multiplied in pairs.
  bool pairs;

  // Entries of a batch that sum the gradient of their bias in one place.
  static constexpr int64_t TURNS = 8;

  int64_t turns() const { return (entries / period + TURNS - 1) / TURNS; }
  // What one task is: a head in every `period`-th entry from `first` on, up to `end`.
  struct Task {
    int64_t head, bias, first, end;
  };
  Task task(int64_t index) const {
    auto entry = index / heads % period, turn = index / heads / period, step = TURNS * period;
    auto head_index = index % heads;
    return {head_index, (entry * heads + head_index) * head.square(), turn * step + entry,
            std::min(entries, (turn + 1) * step)};
  }

  // The first number of a head in lines of `line`.
  int64_t at(int64_t entry, int64_t h, int64_t line) const {
    return entry * head.tokens * line + h * head.width;
  }
};

// A matrix [out, depth], row after row or column after column.
template <class Number>
struct Matrix {
  const Number *numbers;
  int64_t out, depth;
  bool by_rows;
};

// x W^T + mask * (low up^T) and its epilogue, of `count` rows in blocks of `block`; what is not there
// is null.
template <class Number>
struct TiledProduct {
  const Number *x, *low;
  Matrix<Number> weight, up;
  // Panels of columns of the weight, as `pack` makes them; or null, and they are made on the way.
  const uint32_t *packed;
  // One for each column, with zeros up to the widest vector.
  const float *bias;
  const Number *other;
  bool gelu;
  const Mask *mask;
  Number *to;
  int64_t count, block;
  // Whether numbers of bfloat16 are multiplied in pairs.
  bool pairs;
};

// How a row of numbers became bytes: x = scale (byte - zero_point).
struct Int8Row {
  float scale;
  int32_t zero_point;
};

// x W^T of `count` rows in blocks of `block`, multiplied as bytes. `depth` is `in` up to whole cells
// of four, or to what a tile of AMX reads; columns of W, cells side by side, come in panels; sums, scales and bias have one number
// for each column, up to the widest vector.
template <class Number>
struct Int8Product {
  const Number *x;
  int64_t count, in, depth, out, block;
  bool per_token;
  Int8Row input;
  const uint32_t *columns;
  const int32_t *column_sums;
  const float *weight_scales, *bias;
  bool gelu;
  // Room for rows as bytes, and for how each became so.
  uint8_t *rows;
  float *scales;
  int32_t *zero_points;
  Number *to;
};

}  // namespace polyptych
