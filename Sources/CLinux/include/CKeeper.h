#pragma once
#include <stdbool.h>

/// A process that outlives the worker and does nothing but hold the reading ends of FIFOs open, so that what is in them
/// stays when the worker is killed and their writers are done: the kernel drops a FIFO's bytes with its last descriptor
/// (fifo(7), pipe_release).
///
/// Finds the one of an earlier worker at a socket, or forks one: call it while the program has one thread. Returns the
/// connection to it, -1 with errno where there is none.
///
/// - existed: set where it is an earlier worker's, which has held what that one gave it.
int clinux_keeper_connect(const char *path, bool *existed);
/// Gives it an end to hold under a name. -1 where it does not take it.
int clinux_keeper_hold(int keeper, const char *name, int fd);
/// Lets it close that.
int clinux_keeper_drop(int keeper, const char *name);
