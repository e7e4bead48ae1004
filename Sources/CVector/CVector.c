#include "CVector.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdbool.h>

#define AVX2 __attribute__((target("avx2")))

static bool has_avx2(void) {
  static int known;
  if (!known) known = __builtin_cpu_supports("avx2") ? 1 : -1;
  return known > 0;
}

#define ALL(byte) _mm256_set1_epi8((char)(byte))
#define EQUAL(bytes, byte) _mm256_cmpeq_epi8(bytes, ALL(byte))
#define OR _mm256_or_si256
#define AND _mm256_and_si256

/// The bytes that stand `n` places before, those of the last 32 among them.
#define BEFORE(n) _mm256_alignr_epi8(bytes, _mm256_permute2x128_si256(last, bytes, 0x21), 16 - n)

/// Marks where a byte is between two, both taken as unsigned.
AVX2 static __m256i between(__m256i bytes, uint8_t low, uint8_t high) {
  __m256i from = _mm256_cmpeq_epi8(_mm256_max_epu8(bytes, ALL(low)), bytes);
  return AND(from, _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, ALL(high)), bytes));
}

/// What to look up by the upper or lower half of each byte.
AVX2 static __m256i look(__m128i table, __m256i halves) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), halves);
}

// What is wrong with a pair of bytes, as bits; a table by the first's upper half, one by its lower half and one by the
// second's upper half each say what their part leaves possible (Keiser and Lemire, Validating UTF-8 in less than one
// instruction per byte, 2020).
enum {
  TOO_SHORT = 1, TOO_LONG = 2, OVERLONG_3 = 4, TOO_LARGE = 8, SURROGATE = 16, OVERLONG_2 = 32,
  // Of four bytes: over 10FFFF with a second byte of 80 to 8F, or overlong.
  FOUR = 64, TWO_CONTINUATIONS = 128, CARRY = TOO_SHORT | TOO_LONG | TWO_CONTINUATIONS,
};

/// Not zero where the bytes are no UTF-8, whatever follows.
AVX2 static __m256i errors(__m256i bytes, __m256i last) {
  const char c = (char)CARRY, l = (char)(CARRY | TOO_LARGE | FOUR), t = (char)TWO_CONTINUATIONS;
  const __m128i first_high = _mm_setr_epi8(
      TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, t, t, t, t, TOO_SHORT | OVERLONG_2,
      TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE, TOO_SHORT | TOO_LARGE | FOUR);
  const __m128i first_low = _mm_setr_epi8(
      (char)(CARRY | OVERLONG_3 | OVERLONG_2 | FOUR), (char)(CARRY | OVERLONG_2), c, c, (char)(CARRY | TOO_LARGE), l, l, l, l, l,
      l, l, l, (char)(CARRY | TOO_LARGE | FOUR | SURROGATE), l, l);
  const char n = (char)(TOO_LONG | OVERLONG_2 | TWO_CONTINUATIONS);
  const __m128i second_high = _mm_setr_epi8(
      TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, (char)(n | OVERLONG_3 | FOUR),
      (char)(n | OVERLONG_3 | TOO_LARGE), (char)(n | SURROGATE | TOO_LARGE), (char)(n | SURROGATE | TOO_LARGE), TOO_SHORT,
      TOO_SHORT, TOO_SHORT, TOO_SHORT);
  const __m256i half = ALL(0x0F);
  __m256i first = BEFORE(1);
  __m256i wrong = AND(AND(look(first_high, AND(_mm256_srli_epi16(first, 4), half)), look(first_low, AND(first, half))),
                      look(second_high, AND(_mm256_srli_epi16(bytes, 4), half)));
  // Two continuations in a row are right behind the beginning of three or four bytes, and only there.
  __m256i third = _mm256_subs_epu8(BEFORE(2), ALL(0xE0 - 0x80)), fourth = _mm256_subs_epu8(BEFORE(3), ALL(0xF0 - 0x80));
  return _mm256_xor_si256(AND(OR(third, fourth), ALL(0x80)), wrong);
}

/// Marks what a string cannot hold of ASCII.
AVX2 static __m256i specials(__m256i bytes) {
  __m256i control = OR(EQUAL(bytes, 0x7F), _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, ALL(0x1F)), bytes));
  return OR(control, OR(EQUAL(bytes, '"'), EQUAL(bytes, '\\')));
}

/// Marks the last bytes of characters that must not reach a terminal: C1, U+061C, U+200E, U+200F, U+2028 to U+202E, U+2066 to
/// U+2069.
AVX2 static __m256i hidden(__m256i bytes, __m256i last) {
  __m256i first = BEFORE(1), second = BEFORE(2);
  __m256i two = OR(AND(EQUAL(first, 0xC2), between(bytes, 0x80, 0x9F)), AND(EQUAL(first, 0xD8), EQUAL(bytes, 0x9C)));
  __m256i general = AND(EQUAL(first, 0x80), OR(between(bytes, 0x8E, 0x8F), between(bytes, 0xA8, 0xAE)));
  __m256i isolates = AND(EQUAL(first, 0x81), between(bytes, 0xA6, 0xA9));
  return OR(two, AND(EQUAL(second, 0xE2), OR(general, isolates)));
}

static bool continues(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// Where the character begins that is not complete before an end.
static size_t whole(const uint8_t *from, size_t end) {
  size_t begin = end;
  while (begin > 0 && end - begin < 3 && continues(from[begin - 1])) begin--;
  if (begin == 0) return end;
  uint8_t first = from[begin - 1];
  size_t length = first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  return end - begin + 1 < length ? begin - 1 : end;
}

AVX2 static size_t copy_text(uint8_t *to, const uint8_t *from, size_t count) {
  __m256i last = _mm256_setzero_si256();
  size_t done = 0;
  for (; count - done >= 32; done += 32) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(from + done));
    __m256i marks = specials(bytes);
    // Where all is ASCII, and so were the last 32, nothing else can be wrong.
    if (_mm256_movemask_epi8(OR(bytes, last))) {
      __m256i wrong = errors(bytes, last);
      if (!_mm256_testz_si256(wrong, wrong)) break;
      marks = OR(marks, hidden(bytes, last));
    }
    _mm256_storeu_si256((__m256i *)(to + done), bytes);
    unsigned mask = (unsigned)_mm256_movemask_epi8(marks);
    if (mask) {
      size_t end = done + (size_t)__builtin_ctz(mask);
      // To the beginning of the one that is marked.
      while (continues(from[end])) end--;
      return end;
    }
    last = bytes;
  }
  return whole(from, done);
}

// 24 bytes at a time, 12 in each half: spread to four of 6 bits in each 32, then to characters by adding what their range
// is away from its values.
AVX2 static size_t base64(uint8_t *to, const uint8_t *from, size_t count) {
  const __m256i spread = _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10,
                                          1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10);
  // By range: 0 for a-z, 1 to 10 for a digit each, 11 for +, 12 for /, 13 for A-Z.
  const __m256i shift = _mm256_setr_epi8('a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                         '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0,
                                         'a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
                                         '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0);
  size_t done = 0;
  // The second half is read from byte 12 on, 16 bytes of which 12 count.
  for (; count - done >= 28; done += 24, to += 32) {
    __m128i first = _mm_loadu_si128((const __m128i *)(from + done));
    __m128i second = _mm_loadu_si128((const __m128i *)(from + done + 12));
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set_m128i(second, first), spread);
    // Multiplying by a power of two shifts each 16 bits by a number of its own.
    __m256i high = _mm256_mulhi_epu16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x0FC0FC00)), _mm256_set1_epi32(0x04000040));
    __m256i low = _mm256_mullo_epi16(_mm256_and_si256(bytes, _mm256_set1_epi32(0x003F03F0)), _mm256_set1_epi32(0x01000010));
    __m256i values = _mm256_or_si256(high, low);
    __m256i range = _mm256_subs_epu8(values, _mm256_set1_epi8(51));
    __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
    range = _mm256_or_si256(range, _mm256_and_si256(upper, _mm256_set1_epi8(13)));
    _mm256_storeu_si256((__m256i *)to, _mm256_add_epi8(values, _mm256_shuffle_epi8(shift, range)));
  }
  return done;
}

// Which characters there are is told by two tables: a bit for each set of upper halves that have the same lower halves, and
// which of the sets a lower half is in no way of. The last bit is of upper halves that nothing goes with.
enum { PLUS_SLASH = 1, DIGITS = 2, FROM_A = 4, UP_TO_Z = 8, NOTHING = 16 };

// 32 characters at a time, to 12 bytes in each half.
AVX2 static size_t unbase64(uint8_t *to, const uint8_t *from, size_t count) {
  const char n = NOTHING, most = PLUS_SLASH | NOTHING, late = PLUS_SLASH | DIGITS | UP_TO_Z | NOTHING;
  const __m128i sets = _mm_setr_epi8(n, n, PLUS_SLASH, DIGITS, FROM_A, UP_TO_Z, FROM_A, UP_TO_Z, n, n, n, n, n, n, n, n);
  const __m128i without = _mm_setr_epi8(
      PLUS_SLASH | FROM_A | NOTHING, most, most, most, most, most, most, most, most, most, PLUS_SLASH | DIGITS | NOTHING,
      DIGITS | UP_TO_Z | NOTHING, late, late, late, DIGITS | UP_TO_Z | NOTHING);
  // By upper half what a value is away from its character; / has the place before that of +.
  const __m128i shifts = _mm_setr_epi8(0, 63 - '/', 62 - '+', 52 - '0', -'A', -'A', 26 - 'a', 26 - 'a', 0, 0, 0, 0, 0, 0, 0, 0);
  const __m256i half = ALL(0x0F);
  const __m256i pack = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1,
                                        2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1);
  size_t done = 0;
  // 16 bytes are written for the 12 of the second half.
  for (; count - done >= 40; done += 32, to += 24) {
    __m256i characters = _mm256_loadu_si256((const __m256i *)(from + done));
    __m256i high = AND(_mm256_srli_epi16(characters, 4), half);
    __m256i wrong = AND(look(sets, high), look(without, AND(characters, half)));
    if (!_mm256_testz_si256(wrong, wrong)) break;
    __m256i place = _mm256_add_epi8(high, EQUAL(characters, '/'));
    __m256i values = _mm256_add_epi8(characters, look(shifts, place));
    // Two of 6 bits to 12, two of 12 to 24.
    __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
    __m256i groups = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
    __m256i bytes = _mm256_shuffle_epi8(groups, pack);
    _mm_storeu_si128((__m128i *)to, _mm256_castsi256_si128(bytes));
    _mm_storeu_si128((__m128i *)(to + 12), _mm256_extracti128_si256(bytes, 1));
  }
  return done;
}

AVX2 static size_t utf8(const uint8_t *from, size_t count) {
  __m256i last = _mm256_setzero_si256();
  size_t done = 0;
  for (; count - done >= 32; done += 32) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(from + done));
    if (_mm256_movemask_epi8(OR(bytes, last))) {
      __m256i wrong = errors(bytes, last);
      if (!_mm256_testz_si256(wrong, wrong)) break;
    }
    last = bytes;
  }
  return whole(from, done);
}

size_t cvector_copy_text(uint8_t *to, const uint8_t *from, size_t count) {
  return has_avx2() ? copy_text(to, from, count) : 0;
}

size_t cvector_base64(uint8_t *to, const uint8_t *from, size_t count) {
  return has_avx2() ? base64(to, from, count) : 0;
}

size_t cvector_unbase64(uint8_t *to, const uint8_t *from, size_t count) {
  return has_avx2() ? unbase64(to, from, count) : 0;
}

size_t cvector_utf8(const uint8_t *from, size_t count) { return has_avx2() ? utf8(from, count) : 0; }

#else

size_t cvector_copy_text(uint8_t *to, const uint8_t *from, size_t count) {
  (void)to, (void)from, (void)count;
  return 0;
}

size_t cvector_base64(uint8_t *to, const uint8_t *from, size_t count) {
  (void)to, (void)from, (void)count;
  return 0;
}

size_t cvector_unbase64(uint8_t *to, const uint8_t *from, size_t count) {
  (void)to, (void)from, (void)count;
  return 0;
}

size_t cvector_utf8(const uint8_t *from, size_t count) {
  (void)from, (void)count;
  return 0;
}

#endif
