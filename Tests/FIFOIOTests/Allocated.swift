import Glibc

/// The memory or disk that a file takes, in bytes.
func allocated(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_blocks) * 512 : 0
}
