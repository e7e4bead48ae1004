#define _GNU_SOURCE
#include "CLinux.h"
#include "address.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int clinux_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return epoll_ctl(epoll, operation, fd, &event);
}

static int wait_for_events(int epoll, struct epoll_event *ready, int capacity, int64_t timeout_ns) {
  if (timeout_ns <= 0) return epoll_wait(epoll, ready, capacity, timeout_ns < 0 ? -1 : 0);
  struct timespec timeout = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
  int count = epoll_pwait2(epoll, ready, capacity, &timeout, NULL);
  if (count >= 0 || errno != ENOSYS) return count;
  // Linux before 5.11, or a filter that does not know the call. Rounded up, so that nobody spins.
  return epoll_wait(epoll, ready, capacity, (int)((timeout_ns + 999999) / 1000000));
}

int clinux_epoll_wait(int epoll, clinux_event *events, int capacity, int64_t timeout_ns) {
  struct epoll_event ready[256];
  int count = wait_for_events(epoll, ready, capacity < 256 ? capacity : 256, timeout_ns);
  for (int i = 0; i < count; i++) {
    events[i].events = ready[i].events;
    events[i].data = ready[i].data.u64;
  }
  return count;
}

int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

static uint64_t now_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t clinux_monotonic_ns(void) { return now_ns(CLOCK_MONOTONIC); }
uint64_t clinux_realtime_ns(void) { return now_ns(CLOCK_REALTIME); }

int clinux_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < count; i++) sigaddset(&set, signals[i]);
  errno = pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (errno != 0) return -1;
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int clinux_signalfd_read(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == sizeof info ? (int)info.ssi_signo : 0;
}

static int close_keeping_errno(int fd) {
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int clinux_unix_listen(const char *path, unsigned mode, int backlog) {
  struct sockaddr_un address;
  if (unix_address(path, &address) < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  // The inode takes its mode from the socket's own (unix(7): fchmod before bind), so that there is no moment
  // with other rights, and no umask to change for the whole process.
  if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_keeping_errno(fd);
  if (chmod(path, mode) < 0 || listen(fd, backlog) < 0) return close_keeping_errno(fd);
  return fd;
}

int clinux_unix_connect(const char *path) {
  struct sockaddr_un address;
  if (unix_address(path, &address) < 0) return -1;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) return close_keeping_errno(fd);
  return fd;
}

ssize_t clinux_notify(const char *name, const void *bytes, size_t count) {
  struct sockaddr_un address;
  if (unix_address(name, &address) < 0) return -1;
  // An abstract name begins with a NUL and ends where the address does (unix(7)); a path ends with its NUL.
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + strlen(name) + (name[0] == '@' ? 0 : 1);
  if (name[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  ssize_t sent = sendto(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address, size);
  if (sent < 0) return close_keeping_errno(fd);
  close(fd);
  return sent;
}

// What processes' FIFOs leave for connections, and connections for gRPC, which aborts where it can't get one.
enum { LEFT_BY_FIFOS = 64, LEFT_BY_CONNECTIONS = 32 };
static int most_descriptors = INT_MAX;

void clinux_raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < INT_MAX) most_descriptors = (int)limit.rlim_max;
}

/// Closes a new descriptor, and tells whether there are more behind it. The kernel gives out the lowest number that is free
/// (open(2)).
static bool leaves(int probe, int reserve) {
  if (probe < 0) return false;
  close(probe);
  if (probe < most_descriptors - reserve) return true;
  errno = EMFILE;
  return false;
}

int clinux_accept(int fd) {
  // Not with the connection's own: who is not accepted waits, and who is accepted and closed has to come again.
  if (!leaves(fcntl(fd, F_DUPFD_CLOEXEC, 0), LEFT_BY_CONNECTIONS)) return -1;
  return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

int clinux_peer_credentials(int fd, clinux_peer *peer) {
  struct ucred credentials;
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) return -1;
  peer->pid = credentials.pid;
  peer->uid = credentials.uid;
  peer->gid = credentials.gid;
  return 0;
}

ssize_t clinux_send(int fd, const void *bytes, size_t count) {
  return send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t clinux_send_descriptors(int fd, const void *bytes, size_t count, const int *descriptors, int number) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(8 * sizeof(int))];
  } control;
  if (number < 1 || number > 8) {
    errno = EINVAL;
    return -1;
  }
  memset(&control, 0, sizeof control);
  struct iovec data = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = CMSG_SPACE(number * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(number * sizeof(int));
  memcpy(CMSG_DATA(header), descriptors, number * sizeof(int));
  return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int clinux_open_terminal(int ends[2]) {
  ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[0] < 0) return -1;
  char name[64];
  if (grantpt(ends[0]) < 0 || unlockpt(ends[0]) < 0 || ptsname_r(ends[0], name, sizeof name) != 0)
    return close_keeping_errno(ends[0]);
  ends[1] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
  return ends[1] < 0 ? close_keeping_errno(ends[0]) : 0;
}

int clinux_set_terminal_size(int fd, int columns, int rows) {
  struct winsize size = {.ws_col = columns, .ws_row = rows};
  return ioctl(fd, TIOCSWINSZ, &size);
}

int clinux_receive_byte(int fd, uint8_t *byte, int *descriptors) {
  union {
    struct cmsghdr header;
    char space[CMSG_SPACE(8 * sizeof(int))];
  } control;
  struct iovec data = {.iov_base = byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) <= 0) return -1;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_type != SCM_RIGHTS) return 0;
  int number = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  memcpy(descriptors, CMSG_DATA(header), number * sizeof(int));
  return number;
}

int clinux_pipe(int ends[2], bool worker_reads) {
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  return clinux_set_nonblocking(ends[worker_reads ? 0 : 1]);
}

ssize_t clinux_splice(int from, int to, size_t count) {
  return splice(from, NULL, to, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

int clinux_unread_bytes(int fd) {
  int count = 0;
  return ioctl(fd, FIONREAD, &count) < 0 ? -1 : count;
}

int clinux_set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int clinux_open_fifo(const char *path, bool write) {
  // O_PATH opens no end of it: to close one is something that the other end notices.
  if (!leaves(open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW), LEFT_BY_FIFOS)) return -1;
  return open(path, (write ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
}

clinux_writer clinux_fifo_writer(int fd) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return CLINUX_UNCLEAR;
  // poll(2) tells of no writer only if there was one since it was opened; tee(2) does always, and takes nothing.
  ssize_t count = tee(fd, ends[1], 1, SPLICE_F_NONBLOCK);
  bool nothing_yet = count < 0 && errno == EAGAIN;
  close(ends[0]);
  close(ends[1]);
  return count == 0 ? CLINUX_NO_WRITER : nothing_yet ? CLINUX_HAS_WRITER : CLINUX_UNCLEAR;
}

bool clinux_is_fifo(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

void clinux_print_error(const char *line) { fputs(line, stderr); }

bool clinux_set_nice(int nice) {
  if (setpriority(PRIO_PROCESS, 0, nice) < 0) return false;
  // Where the kernel groups threads by session, they have the group's share of the processor whatever their own niceness is
  // (sched(7), "The autogroup feature"). A shell's session is not ours to change.
  if (getsid(0) != getpid()) return true;
  int file = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (file < 0) return true;
  bool done = dprintf(file, "%d", nice) > 0;
  close(file);
  return done;
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

static int count_entries(const char *path) {
  DIR *directory = opendir(path);
  if (directory == NULL) return -1;
  int count = -2;  // without . and ..
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

int clinux_self_usage(clinux_usage *usage) {
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return -1;
  unsigned long total = 0, resident = 0;
  int fields = fscanf(file, "%lu %lu", &total, &resident);
  fclose(file);
  int threads = count_entries("/proc/self/task");
  int descriptors = count_entries("/proc/self/fd");
  if (fields != 2 || threads < 0 || descriptors < 0) return -1;
  usage->resident_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
  usage->threads = (uint32_t)threads;
  usage->descriptors = (uint32_t)descriptors - 1;  // without the one that counts
  return 0;
}
