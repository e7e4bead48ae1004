#ifndef CLINUX_H
#define CLINUX_H

// System calls of Linux that Swift's Glibc module lacks because they stand behind _GNU_SOURCE, with plain types
// only: defining _GNU_SOURCE in a header that Swift imports makes its fd_set differ from Glibc's.
// Every function returns what the system call returns; -1 leaves the reason in errno.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "CKeeper.h"
#include "CRing.h"

// epoll_event is packed and holds a union: these keep it out of Swift.
int clinux_epoll_create(void);
int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data);

typedef struct {
  uint32_t events;
  uint64_t data;
} clinux_event;

// At most 256 events a call. The timeout is in nanoseconds: 0 does not wait, -1 waits for ever.
int clinux_epoll_wait(int epoll, clinux_event *events, int capacity, int64_t timeout_ns);

int clinux_eventfd(void);
uint64_t clinux_monotonic_ns(void);
uint64_t clinux_realtime_ns(void);

// Blocks the signals for the calling thread and all that it starts, and opens a descriptor that reads them.
int clinux_signalfd(const int *signals, int count);
// Reads one signal number; 0 when there is none.
int clinux_signalfd_read(int fd);

// A stream socket bound to a path with its mode set before anybody can connect, and listening.
int clinux_unix_listen(const char *path, unsigned mode, int backlog);
int clinux_unix_connect(const char *path);
// EMFILE already where few descriptors are left.
int clinux_accept(int fd);

// One datagram to a socket at a path, or with an abstract name after @; without waiting.
ssize_t clinux_notify(const char *address, const void *bytes, size_t count);

typedef struct {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
} clinux_peer;

int clinux_peer_credentials(int fd, clinux_peer *peer);

// Send without SIGPIPE and without waiting.
ssize_t clinux_send(int fd, const void *bytes, size_t count);
// The same, with up to 8 descriptors on the first byte (SCM_RIGHTS).
ssize_t clinux_send_descriptors(int fd, const void *bytes, size_t count, const int *descriptors, int number);

// A pseudo-terminal; ends[0] is the master's. And its size in characters.
int clinux_open_terminal(int ends[2]);
int clinux_set_terminal_size(int fd, int columns, int rows);

// Reads one byte and up to 8 descriptors that came with it; their number, or -1 at the end.
int clinux_receive_byte(int fd, uint8_t *byte, int *descriptors);

// A pipe with O_CLOEXEC; ends[0] is read from. The worker's end does not block, the other one does.
int clinux_pipe(int ends[2], bool worker_reads);
// Moves bytes between two pipes without copying and without waiting.
ssize_t clinux_splice(int from, int to, size_t count);

// The bytes that wait in a pipe, FIFO or socket.
int clinux_unread_bytes(int fd);

int clinux_set_nonblocking(int fd);
// open(2) with O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW. EMFILE already where few descriptors are left.
int clinux_open_fifo(const char *path, bool write);
bool clinux_is_fifo(int fd);
// CLINUX_UNCLEAR where the FIFO has bytes, which are no sign of a writer.
typedef enum { CLINUX_UNCLEAR, CLINUX_HAS_WRITER, CLINUX_NO_WRITER } clinux_writer;
clinux_writer clinux_fifo_writer(int fd);

// stderr is a mutable global to Swift 6, which it may not use.
void clinux_print_error(const char *line);

// As many descriptors as the process may have (RLIMIT_NOFILE).
void clinux_raise_descriptor_limit(void);
// setpriority(2) for the calling thread and those it starts, and for the session where it is the caller's own. False where
// that is not allowed.
bool clinux_set_nice(int nice);
void clinux_name_thread(const char *name);

// The process's resident memory in bytes and its number of threads and descriptors, from /proc/self.
typedef struct {
  uint64_t resident_bytes;
  uint32_t threads;
  uint32_t descriptors;
} clinux_usage;

int clinux_self_usage(clinux_usage *usage);

#endif
