#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// The newest bytes of a stream in a file that is mapped, so that they and their offsets outlive the process that read
/// them. One process has it at a time, and one thread of that.
typedef struct clinux_ring clinux_ring;

/// Makes a ring, or opens one that an earlier process left; what that one was reading when it died is settled.
///
/// - path: NULL for one that nobody else can open.
/// - size: bytes that it holds at most, if it is new.
/// Returns NULL with errno set; EINVAL where the file is no ring, ENOSPC where there is no room for a page.
clinux_ring *clinux_ring_open(const char *path, uint64_t size, bool create);
/// Unmaps it; the file stays.
void clinux_ring_close(clinux_ring *ring);

/// The offset of the oldest byte that is kept, and of the next one to come.
uint64_t clinux_ring_start(const clinux_ring *ring);
uint64_t clinux_ring_end(const clinux_ring *ring);
/// Three numbers of the user's: the first byte that nobody has taken, how the stream ended (0: it has not), and where it is
/// to end (0: nobody has said).
uint64_t clinux_ring_position(const clinux_ring *ring);
void clinux_ring_set_position(clinux_ring *ring, uint64_t position);
uint32_t clinux_ring_ended(const clinux_ring *ring);
void clinux_ring_set_ended(clinux_ring *ring, uint32_t how);
uint64_t clinux_ring_ends_at(const clinux_ring *ring);
void clinux_ring_set_ends_at(clinux_ring *ring, uint64_t offset);

/// Reads what a FIFO has, at most so much, over the oldest bytes where there is no other place.
///
/// Returns the bytes read; 0 where nobody writes any more and nothing is left; -1 with errno: EAGAIN where there is nothing
/// yet, EFAULT where the file system is full.
ssize_t clinux_ring_read(clinux_ring *ring, int fifo, size_t limit);
/// Appends bytes, which may not be more than the ring holds. False with errno ENOSPC where the file system is full.
bool clinux_ring_append(clinux_ring *ring, const void *bytes, size_t count);
/// What is kept from an offset on, in one piece: the ring is mapped twice in a row.
const void *clinux_ring_bytes(const clinux_ring *ring, uint64_t offset);
/// So many bytes have gone by elsewhere: nothing is kept, and the position is behind them.
void clinux_ring_skip(clinux_ring *ring, uint64_t count);
/// Forgets what comes before an offset.
void clinux_ring_drop(clinux_ring *ring, uint64_t offset);
/// Gives memory above a few pages back where nothing is kept. Not for each time: having it again costs more than its use.
void clinux_ring_trim(clinux_ring *ring);
