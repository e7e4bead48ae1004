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

AVX2 static size_t copy_plain(uint8_t *to, const uint8_t *from, size_t count) {
  const __m256i space = _mm256_set1_epi8(0x20), quote = _mm256_set1_epi8('"');
  const __m256i backslash = _mm256_set1_epi8('\\'), del = _mm256_set1_epi8(0x7F);
  size_t done = 0;
  for (; count - done >= 32; done += 32) {
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(from + done));
    _mm256_storeu_si256((__m256i *)(to + done), bytes);
    // Signed: what has the high bit set is less than a space, too.
    __m256i low = _mm256_cmpgt_epi8(space, bytes);
    __m256i marks = _mm256_or_si256(_mm256_cmpeq_epi8(bytes, quote), _mm256_cmpeq_epi8(bytes, backslash));
    marks = _mm256_or_si256(_mm256_or_si256(low, marks), _mm256_cmpeq_epi8(bytes, del));
    unsigned mask = (unsigned)_mm256_movemask_epi8(marks);
    if (mask) return done + (size_t)__builtin_ctz(mask);
  }
  return done;
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

size_t cvector_copy_plain(uint8_t *to, const uint8_t *from, size_t count) {
  return has_avx2() ? copy_plain(to, from, count) : 0;
}

size_t cvector_base64(uint8_t *to, const uint8_t *from, size_t count) {
  return has_avx2() ? base64(to, from, count) : 0;
}

#else

size_t cvector_copy_plain(uint8_t *to, const uint8_t *from, size_t count) {
  (void)to, (void)from, (void)count;
  return 0;
}

size_t cvector_base64(uint8_t *to, const uint8_t *from, size_t count) {
  (void)to, (void)from, (void)count;
  return 0;
}

#endif
