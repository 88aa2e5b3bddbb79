// The same products of bytes in tiles of AMX, 16 rows by 16 columns each. Sums are integers, so they
// are those of vectors to the last bit. Compilers know neither the registers nor, all of them, the
// names of the instructions, hence `asm`.
#if POLYPTYCH_LANES == 16
namespace polyptych {
namespace POLYPTYCH_LEVEL {
namespace {

// Rows of a tile, and bytes of one: a step of depth.
constexpr int64_t AMX_ROWS = 16, AMX_BYTES = 64;

// Registers of tiles as this thread uses them, all of whole size.
class Amx {
 public:
  Amx() {
    struct alignas(64) {
      uint8_t palette = 1, start_row = 0, reserved[14] = {};
      uint16_t bytes[16] = {};
      uint8_t rows[16] = {};
    } config;
    static_assert(sizeof config == 64);
    std::fill_n(config.bytes, 8, static_cast<uint16_t>(AMX_BYTES));
    std::fill_n(config.rows, 8, static_cast<uint8_t>(AMX_ROWS));
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Amx() { asm volatile("tilerelease"); }
  Amx(const Amx &) = delete;
  Amx &operator=(const Amx &) = delete;
};

#define POLYPTYCH_AMX_LOAD(TILE_NUMBER, FROM, LINE) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #TILE_NUMBER ::"r"(FROM), "r"(LINE) : "memory")
#define POLYPTYCH_AMX_STORE(TILE_NUMBER, TO, LINE) \
  asm volatile("tilestored %%tmm" #TILE_NUMBER ", (%0,%1,1)" ::"r"(TO), "r"(LINE) : "memory")
// Unsigned bytes of a row and signed ones of a column.
#define POLYPTYCH_AMX_ADD(SUM, ROWS_OF, COLUMNS_OF) \
  asm volatile("tdpbusd %%tmm" #COLUMNS_OF ", %%tmm" #ROWS_OF ", %%tmm" #SUM ::)
#define POLYPTYCH_AMX_CLEAR(TILE_NUMBER) asm volatile("tilezero %%tmm" #TILE_NUMBER ::)

// The sums of M tiles of rows and N tiles of columns, which lie `line` cells apart, as lines of 2
// tiles.
template <int M, int N>
POLYPTYCH_INLINE void amx_sums(const uint8_t *rows, int64_t depth, const uint32_t *columns,
                               int64_t line, int32_t *to) {
  const int64_t column_line = 4 * line, to_line = 2 * AMX_BYTES;
  auto second = rows + AMX_ROWS * depth;
  POLYPTYCH_AMX_CLEAR(0);
  if (N > 1) POLYPTYCH_AMX_CLEAR(1);
  if (M > 1) POLYPTYCH_AMX_CLEAR(2);
  if (M > 1 && N > 1) POLYPTYCH_AMX_CLEAR(3);
  for (int64_t k = 0; k < depth; k += AMX_BYTES) {
    auto below = columns + k / Quad::COUNT * line;
    POLYPTYCH_AMX_LOAD(4, rows + k, depth);
    POLYPTYCH_AMX_LOAD(6, below, column_line);
    POLYPTYCH_AMX_ADD(0, 4, 6);
    if (N > 1) {
      POLYPTYCH_AMX_LOAD(7, below + VEC, column_line);
      POLYPTYCH_AMX_ADD(1, 4, 7);
    }
    if (M > 1) {
      POLYPTYCH_AMX_LOAD(5, second + k, depth);
      POLYPTYCH_AMX_ADD(2, 5, 6);
    }
    if (M > 1 && N > 1) POLYPTYCH_AMX_ADD(3, 5, 7);
  }
  auto lower = to + AMX_ROWS * 2 * VEC;
  POLYPTYCH_AMX_STORE(0, to, to_line);
  if (N > 1) POLYPTYCH_AMX_STORE(1, to + VEC, to_line);
  if (M > 1) POLYPTYCH_AMX_STORE(2, lower, to_line);
  if (M > 1 && N > 1) POLYPTYCH_AMX_STORE(3, lower + VEC, to_line);
}

#undef POLYPTYCH_AMX_LOAD
#undef POLYPTYCH_AMX_STORE
#undef POLYPTYCH_AMX_ADD
#undef POLYPTYCH_AMX_CLEAR

// M rows of sums become numbers.
template <int M, int N, class Number>
POLYPTYCH_INLINE void amx_finish(const Int8Product<Number> &all, int64_t row, int64_t first,
                                 const int32_t *from) {
  Vec sums[M][N];
  for (int m = 0; m < M; m++)
    for (int n = 0; n < N; n++)
      sums[m][n] = load_vec(reinterpret_cast<const float *>(from) + (m * 2 + n) * VEC);
  finish(all, row, first, sums);
}

// Rows [row, stop), two tiles at most, of N tiles of columns from `column` of a panel on that begins
// at `first` and has lines of `line` cells.
template <int N, class Number>
void amx_tiles(const Int8Product<Number> &all, int64_t row, int64_t stop, int64_t first,
               int64_t column, int64_t line) {
  constexpr int64_t TOGETHER = 4;
  alignas(64) int32_t sums[2 * AMX_ROWS * 2 * VEC];
  auto columns = all.columns + first * (all.depth / Quad::COUNT) + column;
  auto rows = all.rows + row * all.depth;
  if (stop - row > AMX_ROWS)
    amx_sums<2, N>(rows, all.depth, columns, line, sums);
  else
    amx_sums<1, N>(rows, all.depth, columns, line, sums);
  auto from = sums;
  for (; row + TOGETHER <= stop; row += TOGETHER, from += TOGETHER * 2 * VEC)
    amx_finish<TOGETHER, N>(all, row, first + column, from);
  for (; row < stop; row++, from += 2 * VEC) amx_finish<1, N>(all, row, first + column, from);
}

// Parts [begin, end) of a product, as `int8_parts` has them; `depth` is whole steps, and there is
// room for whole tiles of rows.
template <class Number>
void amx_parts(const Int8Product<Number> &all, int64_t begin, int64_t end) {
  Amx registers;
  int64_t panels = (all.out + TILE_COLUMNS - 1) / TILE_COLUMNS;
  for (int64_t part = begin; part < end; part++) {
    int64_t first = part % panels * TILE_COLUMNS, row = part / panels * all.block;
    int64_t stop = std::min(all.count, row + all.block);
    int64_t line = up_to(std::min(TILE_COLUMNS, all.out - first), VEC);
    for (; row < stop; row += 2 * AMX_ROWS)
      for (int64_t column = 0; column < line; column += 2 * VEC) {
        auto end_row = std::min(stop, row + 2 * AMX_ROWS);
        if (line - column > VEC)
          amx_tiles<2>(all, row, end_row, first, column, line);
        else
          amx_tiles<1>(all, row, end_row, first, column, line);
      }
  }
}

}  // namespace
}  // namespace POLYPTYCH_LEVEL
}  // namespace polyptych
#endif
