#pragma once
#include <stddef.h>
#include <stdint.h>

// The parts of encoding that the processor can do for many bytes at a time. Each does as much as it can, which on some
// processors is nothing, and says how much that was; the caller does the rest.

/// Copies whole characters of UTF-8 up to the first that is a quote, a backslash, a control or a mark that turns the
/// direction of text around, or that is no UTF-8.
///
/// - to: has room for `count` bytes; what is behind those that are counted may be written to as well.
/// Returns how many bytes are copied; what is behind them need not be one to stop at.
size_t cvector_copy_text(uint8_t *to, const uint8_t *from, size_t count);

/// Base64 of whole groups of 3 bytes.
///
/// - to: has room for 4 bytes for each 3.
/// Returns how many bytes of `from` are encoded, a multiple of 3.
size_t cvector_base64(uint8_t *to, const uint8_t *from, size_t count);

/// The bytes of base64 without padding.
///
/// - to: has room for 3 bytes for each 4; what is behind those that are decoded may be written to as well.
/// Returns how many characters are decoded, a multiple of 4: at most up to the first that is none of base64.
size_t cvector_unbase64(uint8_t *to, const uint8_t *from, size_t count);

/// Returns how many bytes at the beginning are whole characters of UTF-8; what is behind them need not be wrong.
size_t cvector_utf8(const uint8_t *from, size_t count);
