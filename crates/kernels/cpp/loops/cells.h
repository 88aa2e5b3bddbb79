// Products of small matrices that lie in the first caches, tile by tile in registers.
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows and vectors of a tile: enough sums side by side to hide how long an addition takes.
constexpr int64_t TILE = POLYPTYCH_LANES == 16 ? 7 : 6;
constexpr int64_t ACROSS = 2 * VEC;

template <class T>
POLYPTYCH_INLINE Bits load_bits(const T *from) {
  Bits out;
  std::memcpy(&out, from, sizeof out);
  return out;
}

POLYPTYCH_INLINE void store_bits(Bits x, uint32_t *to) { std::memcpy(to, &x, sizeof x); }

// What an operand is made of: 32 bits, of which a product sums over COUNT numbers. Numbers are what
// memory holds, and Kept what the left side of a product holds on its way.
struct Single {
  using Number = float;
  using Kept = float;
  static constexpr int64_t COUNT = 1;

  static POLYPTYCH_INLINE Bits load(const float *from) { return load_bits(from); }
  static POLYPTYCH_INLINE Vec add(Vec sum, Bits a, Bits b) { return sum + of_bits(a) * of_bits(b); }
  static POLYPTYCH_INLINE void store(Vec x, float *to) { store_vec(x, to); }
};

#if POLYPTYCH_LANES == 16
// Two numbers of bfloat16. Compilers do not agree on names for the instructions, hence `asm`.
struct Pair {
  using Number = uint16_t;
  using Kept = uint16_t;
  static constexpr int64_t COUNT = 2;

  static POLYPTYCH_INLINE Bits load(const uint16_t *from) { return load_bits(from); }
  static POLYPTYCH_INLINE Vec add(Vec sum, Bits a, Bits b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
  }
  static POLYPTYCH_INLINE void store(Vec x, uint16_t *to) {
    Bf16s numbers;
    asm("vcvtneps2bf16 %1, %0" : "=v"(numbers) : "v"(x));
    std::memcpy(to, &numbers, sizeof numbers);
  }
};
#endif
// bfloat16 where vectors multiply float32 alone, or faster: numbers are widened on their way.
struct Widened {
  using Number = uint16_t;
  using Kept = float;
  static constexpr int64_t COUNT = 1;

  static POLYPTYCH_INLINE Bits load(const uint16_t *from) { return bits(load_vec(from)); }
  static POLYPTYCH_INLINE Vec add(Vec sum, Bits a, Bits b) { return Single::add(sum, a, b); }
  static POLYPTYCH_INLINE void store(Vec x, float *to) { store_vec(x, to); }
  static POLYPTYCH_INLINE void store(Vec x, uint16_t *to) { store_vec(x, to); }
};

// f of the cells in which numbers of type T are multiplied, in pairs where these vectors can.
template <class T, class F>
POLYPTYCH_INLINE void in_cells(bool pairs, F f) {
  if constexpr (std::is_same_v<T, float>) return f(Single{});
#if POLYPTYCH_LANES == 16
  else if (pairs) return f(Pair{});
#endif
  else return f(Widened{});
}

// Where cell (r, k) of the left side of a product lies: at `cells` and r row + k step cells behind.
struct Left {
  const void *cells;
  int64_t row, step;

  POLYPTYCH_INLINE uint32_t at(int64_t r, int64_t k) const {
    uint32_t cell;
    std::memcpy(&cell, static_cast<const char *>(cells) + 4 * (r * row + k * step), sizeof cell);
    return cell;
  }
};

// A tile that sums start from: M rows of N vectors.
template <int M, int N>
POLYPTYCH_INLINE void clear(Vec (&tile)[M][N]) {
#pragma GCC unroll 24
  for (int m = 0; m < M; m++)
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) tile[m][n] = Vec{};
}

// tile[m] += sum over k < count of left(m, k) right[k line ..].
template <class Cell, int M, int N>
POLYPTYCH_INLINE void multiply(Left left, const uint32_t *right, int64_t line, int64_t count,
                               Vec (&tile)[M][N]) {
#pragma GCC unroll 1
  for (int64_t k = 0; k < count; k++) {
    Bits columns[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; n++) columns[n] = load_bits(right + k * line + n * VEC);
#pragma GCC unroll 24
    for (int m = 0; m < M; m++) {
      Bits each = Bits{} + left.at(m, k);
#pragma GCC unroll 4
      for (int n = 0; n < N; n++) tile[m][n] = Cell::add(tile[m][n], each, columns[n]);
    }
  }
}

// Exchanges squares of `APART` cells between two lines that are as far apart.
template <int APART, int... LANE>
POLYPTYCH_INLINE void exchange(Bits &above, Bits &below, std::integer_sequence<int, LANE...>) {
  Bits a = above, b = below;
  above = __builtin_shufflevector(a, b, (LANE & APART ? VEC + LANE - APART : LANE)...);
  below = __builtin_shufflevector(a, b, (LANE & APART ? VEC + LANE : LANE + APART)...);
}

template <int APART>
POLYPTYCH_INLINE void exchange_all(Bits (&square)[VEC]) {
  if constexpr (APART < VEC) {
#pragma GCC unroll 16
    for (int64_t i = 0; i < VEC; i++)
      if ((i & APART) == 0)
        exchange<APART>(square[i], square[i + APART], std::make_integer_sequence<int, VEC>());
  }
}

// `rows` lines of `cells` cells, `line` numbers apart, side by side.
template <class Cell>
POLYPTYCH_INLINE void copy_lines(const typename Cell::Number *from, int64_t line, int64_t rows,
                                 int64_t cells, uint32_t *to) {
  for (int64_t row = 0; row < rows; row++)
    for (int64_t j = 0; j < cells; j += VEC)
      store_bits(Cell::load(from + row * line + j * Cell::COUNT), to + row * cells + j);
}

// The same lines as columns of cells; `to` has lines of `width`, and zeros up to whole vectors.
template <class Cell>
POLYPTYCH_INLINE void copy_columns(const typename Cell::Number *from, int64_t line, int64_t rows,
                                   int64_t cells, int64_t width, uint32_t *to) {
  for (int64_t row = 0; row < rows; row += VEC)
    for (int64_t j = 0; j < cells; j += VEC) {
      Bits square[VEC];
#pragma GCC unroll 16
      for (int64_t i = 0; i < VEC; i++)
        square[i] = row + i < rows ? Cell::load(from + (row + i) * line + j * Cell::COUNT) : Bits{};
      exchange_all<8>(square);
      exchange_all<4>(square);
      exchange_all<2>(square);
      exchange_all<1>(square);
#pragma GCC unroll 16
      for (int64_t i = 0; i < VEC; i++) store_bits(square[i], to + (j + i) * width + row);
    }
}

// Lines as the right side of a product that sums over them: a cell holds numbers of as many lines.
template <class Cell>
POLYPTYCH_INLINE void copy_stacked(const typename Cell::Number *from, int64_t line, int64_t rows,
                                   int64_t width, uint32_t *to) {
  if constexpr (Cell::COUNT == 1) {
    copy_lines<Cell>(from, line, rows, width, to);
  } else {
    for (int64_t row = 0; row < rows; row += 2)
      for (int64_t j = 0; j < width; j += VEC) {
        auto upper = from + row * line + j;
        Bits above = bits(load_vec(upper));
        Bits below = row + 1 < rows ? bits(load_vec(upper + line)) : Bits{};
        store_bits(above >> 16 | below, to + row / 2 * width + j);
      }
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
