#define _GNU_SOURCE
#include "CRing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PAGE = 4096, MARK = 16, KEPT_WHEN_EMPTY = 4 * PAGE };

// "cwring1", as it stands in memory.
static const uint64_t MAGIC = 0x31676e6972776300;

/// The first page of the file. The data follow it.
struct header {
  uint64_t magic, size;
  uint64_t start, end;
  /// The offset that is at the beginning of the data.
  uint64_t base;
  uint64_t position;
  uint32_t ended;
  uint32_t unused;
  /// What is at `end` as long as the bytes that are being read there have not come.
  unsigned char mark[MARK];
  /// The end once they have; not beyond it where none are being read.
  uint64_t coming;
  uint64_t ends_at;
};

struct clinux_ring {
  struct header *header;
  unsigned char *data;
  uint64_t size;
  /// Data before this may have memory.
  uint64_t touched;
};

// What is written must be in this order for who comes after a kill; the processor keeps it for its own process's memory.
#define STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

static uint64_t place(const clinux_ring *ring, uint64_t offset) {
  return (offset - ring->header->base) % ring->size;
}

/// A read that was under way when the process died has happened if its bytes are where the mark was. Bytes that look like
/// the mark are taken for it: one chance in 256 to the power of their number, at most of 16. A skip has happened.
static void settle(clinux_ring *ring) {
  struct header *h = ring->header;
  if (h->start > h->end) clinux_ring_skip(ring, h->start - h->end);
  if (h->coming <= h->end) return;
  size_t incoming = h->coming - h->end, marked = incoming < MARK ? incoming : MARK;
  bool came = memcmp(ring->data + place(ring, h->end), h->mark, marked) != 0;
  if (came) STORE(h->end, h->coming); else STORE(h->coming, h->end);
}

static bool is_sound(const struct header *h, off_t length) {
  // Where a skip was cut short the start lies beyond the end.
  uint64_t end = h->start > h->end ? h->start : h->end;
  return h->magic == MAGIC && h->size % PAGE == 0 && h->size > 0 && (uint64_t)length == h->size + PAGE &&
         h->base <= h->start && end - h->start <= h->size && h->position <= end &&
         (h->coming <= end || h->coming - h->start <= h->size);
}

/// The header and the data, and behind them the data once more.
static unsigned char *map(int fd, uint64_t size) {
  unsigned char *memory = mmap(NULL, PAGE + 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
  if (mmap(memory, PAGE + size, access, flags, fd, 0) != MAP_FAILED &&
      mmap(memory + PAGE + size, size, access, flags, fd, PAGE) != MAP_FAILED)
    return memory;
  munmap(memory, PAGE + 2 * size);
  return NULL;
}

static int open_file(const char *path, uint64_t size, bool create) {
  if (!path) {
    int fd = memfd_create("containerd-worker stream", MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)(PAGE + size)) < 0) { close(fd); return -1; }
    return fd;
  }
  if (!create) return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  // The header's page must be there: touching one for which there is no room is a SIGBUS.
  int error = fd < 0 ? errno : ftruncate(fd, (off_t)(PAGE + size)) < 0 ? errno : posix_fallocate(fd, 0, PAGE);
  if (error == 0) return fd;
  if (fd >= 0) { close(fd); unlink(path); }
  errno = error;
  return -1;
}

clinux_ring *clinux_ring_open(const char *path, uint64_t size, bool create) {
  size = (size + PAGE - 1) / PAGE * PAGE;
  int fd = open_file(path, size, create || !path);
  if (fd < 0) return NULL;
  struct header old = {0};
  struct stat status;
  bool is_new = create || !path;
  if (!is_new) {
    if (fstat(fd, &status) < 0 || pread(fd, &old, sizeof old, 0) != sizeof old || !is_sound(&old, status.st_size)) {
      close(fd);
      errno = EINVAL;
      return NULL;
    }
    size = old.size;
  }
  unsigned char *memory = map(fd, size);
  int error = errno;
  close(fd);
  clinux_ring *ring = memory ? malloc(sizeof *ring) : NULL;
  if (!ring) {
    if (memory) munmap(memory, PAGE + 2 * size);
    if (create && path) unlink(path);
    errno = memory ? ENOMEM : error;
    return NULL;
  }
  *ring = (clinux_ring){(struct header *)memory, memory + PAGE, size, is_new ? 0 : size};
  if (is_new) {
    ring->header->size = size;
    STORE(ring->header->magic, MAGIC);
  } else {
    settle(ring);
  }
  return ring;
}

void clinux_ring_close(clinux_ring *ring) {
  munmap(ring->header, PAGE + 2 * ring->size);
  free(ring);
}

uint64_t clinux_ring_start(const clinux_ring *ring) { return ring->header->start; }
uint64_t clinux_ring_end(const clinux_ring *ring) { return ring->header->end; }
uint64_t clinux_ring_position(const clinux_ring *ring) { return ring->header->position; }
void clinux_ring_set_position(clinux_ring *ring, uint64_t position) { STORE(ring->header->position, position); }
uint32_t clinux_ring_ended(const clinux_ring *ring) { return ring->header->ended; }
void clinux_ring_set_ended(clinux_ring *ring, uint32_t how) { STORE(ring->header->ended, how); }
uint64_t clinux_ring_ends_at(const clinux_ring *ring) { return ring->header->ends_at; }
void clinux_ring_set_ends_at(clinux_ring *ring, uint64_t offset) { STORE(ring->header->ends_at, offset); }

/// Makes room for so many bytes behind the end, where the mark has room, too.
static unsigned char *make_room(clinux_ring *ring, size_t count) {
  struct header *h = ring->header;
  size_t needed = count < MARK ? MARK : count;
  if (h->end - h->start + needed > ring->size) STORE(h->start, h->end + needed - ring->size);
  uint64_t at = place(ring, h->end);
  uint64_t last = at + needed > ring->size ? ring->size : at + needed;
  if (last > ring->touched) ring->touched = last;
  return ring->data + at;
}

ssize_t clinux_ring_read(clinux_ring *ring, int fifo, size_t limit) {
  struct header *h = ring->header;
  int unread = 0;
  if (ioctl(fifo, FIONREAD, &unread) < 0) return -1;
  if (unread == 0) {
    // With a count of zero there is nothing to announce, so nothing may be read that comes just now.
    struct pollfd end = {.fd = fifo, .events = POLLIN};
    poll(&end, 1, 0);
    if ((end.revents & (POLLIN | POLLHUP)) == POLLHUP) return 0;
    if (!(end.revents & POLLIN) || ioctl(fifo, FIONREAD, &unread) < 0 || unread == 0) {
      errno = EAGAIN;
      return -1;
    }
  }
  size_t count = (size_t)unread < limit ? (size_t)unread : limit;
  if (count > ring->size / 2) count = ring->size / 2;
  unsigned char *target = make_room(ring, count);
  // A system call writes it: where there is no memory for the page that is an error and no SIGBUS.
  if (getrandom(target, MARK, 0) != MARK) { errno = EFAULT; return -1; }
  memcpy(h->mark, target, MARK);
  STORE(h->coming, h->end + count);
  ssize_t got;
  do { got = read(fifo, target, count); } while (got < 0 && errno == EINTR);
  uint64_t end = h->end + (got > 0 ? (uint64_t)got : 0);
  STORE(h->coming, end);
  STORE(h->end, end);
  return got;
}

bool clinux_ring_append(clinux_ring *ring, const void *bytes, size_t count) {
  // As above: the kernel writes it, from this process to this process.
  struct iovec to = {make_room(ring, count), count}, from = {(void *)bytes, count};
  ssize_t written = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
  if (written != (ssize_t)count) {
    if (written >= 0 || errno == EFAULT) errno = ENOSPC;
    return false;
  }
  STORE(ring->header->end, ring->header->end + count);
  return true;
}

const void *clinux_ring_bytes(const clinux_ring *ring, uint64_t offset) { return ring->data + place(ring, offset); }

void clinux_ring_skip(clinux_ring *ring, uint64_t count) {
  struct header *h = ring->header;
  uint64_t end = h->end + count;
  // The start first: never are there bytes in between that nobody has put there.
  STORE(h->start, end);
  STORE(h->position, end);
  STORE(h->end, end);
  STORE(h->base, end);
}

void clinux_ring_drop(clinux_ring *ring, uint64_t offset) {
  struct header *h = ring->header;
  if (offset > h->end) offset = h->end;
  if (offset <= h->start && h->start != h->end) return;
  if (offset > h->start) STORE(h->start, offset);
  // Empty: it begins anew at the front, which has memory already.
  if (h->start == h->end) STORE(h->base, h->end);
}

void clinux_ring_trim(clinux_ring *ring) {
  struct header *h = ring->header;
  if (h->start != h->end || ring->touched <= KEPT_WHEN_EMPTY) return;
  madvise(ring->data + KEPT_WHEN_EMPTY, ring->size - KEPT_WHEN_EMPTY, MADV_REMOVE);
  ring->touched = KEPT_WHEN_EMPTY;
}
