// <features.h> comes first: gRPC's port_platform.h defines _GNU_SOURCE, and were it to win, fd_set would
// differ between this module and Glibc's.
#include <features.h>

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

// Swift does not import the function-like macros of gRPC.
static inline const unsigned char *cgrpc_slice_start(const grpc_slice *slice) {
  return GRPC_SLICE_START_PTR(*slice);
}

static inline size_t cgrpc_slice_length(const grpc_slice *slice) {
  return GRPC_SLICE_LENGTH(*slice);
}

// stderr is a macro or a mutable global to Swift 6, neither of which it may use.
#include <stdio.h>
static inline void cgrpc_log_to_stderr(const char *line) { fputs(line, stderr); }
