#define _GNU_SOURCE
#include "CKeeper.h"
#include "address.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAME = 512, LOOK_MS = 5000, ANSWER_S = 5, PATIENCE_MS = 1000 };

// One packet is one request: a name, with a descriptor to hold it, without one to drop it.

// In the order of their names: there may be tens of thousands.
static struct { char *name; int fd; } *held;
static size_t count, capacity;

/// The first that is not before the name.
static size_t place(const char *name) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (strcmp(held[middle].name, name) < 0) low = middle + 1; else high = middle;
  }
  return low;
}

static bool is_at(size_t index, const char *name) { return index < count && strcmp(held[index].name, name) == 0; }

static void drop(const char *name) {
  size_t index = place(name);
  if (!is_at(index, name)) return;
  close(held[index].fd);
  free(held[index].name);
  memmove(held + index, held + index + 1, (--count - index) * sizeof *held);
}

static void hold(const char *name, int fd) {
  size_t index = place(name);
  if (is_at(index, name)) {
    close(held[index].fd);
    held[index].fd = fd;
    return;
  }
  if (count == capacity) {
    size_t more = capacity ? 2 * capacity : 64;
    void *grown = realloc(held, more * sizeof *held);
    if (!grown) { close(fd); return; }
    held = grown;
    capacity = more;
  }
  char *copy = strdup(name);
  if (!copy) { close(fd); return; }
  memmove(held + index + 1, held + index, (count++ - index) * sizeof *held);
  held[index].name = copy;
  held[index].fd = fd;
}

/// False when the worker has gone.
static bool serve(int connection) {
  char name[NAME + 1];
  char control[CMSG_SPACE(sizeof(int))];
  struct iovec data = {name, NAME};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t length = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  if (length <= 0) return length < 0 && (errno == EINTR || errno == EAGAIN);
  name[length] = 0;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) {
    int fd;
    memcpy(&fd, CMSG_DATA(header), sizeof fd);
    hold(name, fd);
  } else {
    drop(name);
  }
  return true;
}

/// Those that nobody writes to any more and that are empty have nothing to keep.
static void drop_spent(void) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    struct pollfd end = {.fd = held[i].fd};
    int unread = 0;
    poll(&end, 1, 0);
    if ((end.revents & POLLHUP) && ioctl(held[i].fd, FIONREAD, &unread) == 0 && unread == 0) {
      close(held[i].fd);
      free(held[i].name);
    } else {
      held[kept++] = held[i];
    }
  }
  count = kept;
}

/// As long as there is a worker, or something to keep for the next one, whose directory is still there.
static void keep(int listening, const char *path) {
  int connection = -1;
  struct stat status;
  while (true) {
    struct pollfd ends[2] = {{.fd = listening, .events = POLLIN}, {.fd = connection, .events = POLLIN}};
    int ready = poll(ends, connection < 0 ? 1 : 2, connection < 0 ? LOOK_MS : -1);
    if (connection >= 0 && (ends[1].revents & (POLLIN | POLLHUP | POLLERR)) && !serve(connection)) {
      close(connection);
      connection = -1;
    }
    if (ready > 0 && (ends[0].revents & POLLIN)) {
      int next = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
      if (next >= 0) {
        // What the last one still has sent comes first.
        while (connection >= 0 && serve(connection)) {}
        if (connection >= 0) close(connection);
        connection = next;
        send(connection, "k", 1, MSG_NOSIGNAL);
      }
    }
    if (connection >= 0) continue;
    drop_spent();
    bool is_ours = stat(path, &status) == 0 && S_ISSOCK(status.st_mode);
    if (count == 0 || !is_ours) {
      if (is_ours) unlink(path);
      _exit(0);
    }
  }
}

/// Connects, and hears that it was accepted: a keeper that is about to end has a queue too, in which nobody is heard.
static int connect_to(const struct sockaddr_un *to) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  struct timeval limit = {.tv_sec = ANSWER_S};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  char accepted;
  errno = 0;
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 && recv(fd, &accepted, 1, 0) == 1) return fd;
  int error = errno ? errno : ECONNRESET;
  close(fd);
  errno = error;
  return -1;
}

static void become_keeper(int listening, const char *path) {
  setsid();
  prctl(PR_SET_NAME, "cw-keeper");
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
  if (null > 3) close(null);
  if (chdir("/") < 0) _exit(1);
  keep(listening, path);
}

int clinux_keeper_connect(const char *path, bool *existed) {
  struct sockaddr_un to;
  if (unix_address(path, &to) < 0) return -1;
  int fd = connect_to(&to);
  *existed = fd >= 0;
  if (fd >= 0) return fd;
  unlink(path);
  int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (listening < 0) return -1;
  mode_t mask = umask(0177);
  int bound = bind(listening, (const struct sockaddr *)&to, sizeof to);
  umask(mask);
  pid_t child = bound < 0 || listen(listening, 4) < 0 ? -1 : fork();
  if (child == 0) {
    // Before the parent goes on: a lock that it has (flock(2)) would be held here too.
    int kept = dup2(listening, 3);
    close_range(4, ~0U, 0);
    // Twice, so that nobody has to wait for it.
    if (kept >= 0 && fork() == 0) become_keeper(kept, path);
    _exit(0);
  }
  int error = errno;
  close(listening);
  if (child < 0) { errno = error; return -1; }
  while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {}
  return connect_to(&to);
}

static int request(int keeper, const char *name, int fd) {
  struct iovec data = {(void *)name, strlen(name)};
  char control[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (data.iov_len > NAME) { errno = ENAMETOOLONG; return -1; }
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd)};
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  if (sendmsg(keeper, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return 0;
  if (errno != EAGAIN) return -1;
  // Some hundreds wait to be taken: it had no processor yet.
  struct pollfd room = {.fd = keeper, .events = POLLOUT};
  poll(&room, 1, PATIENCE_MS);
  return sendmsg(keeper, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -1 : 0;
}

int clinux_keeper_hold(int keeper, const char *name, int fd) { return request(keeper, name, fd); }
int clinux_keeper_drop(int keeper, const char *name) { return request(keeper, name, -1); }
