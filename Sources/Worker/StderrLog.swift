internal import CLinux
internal import Glibc
internal import Logging

/// One line per message on stderr: time, level, text, metadata. Nothing of a container's environment or stdin.
struct StderrLog: LogHandler {
  let label: String
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info

  init(label: String) {
    self.label = label
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var line = "\(Time.now) \(event.level.rawValue) \(event.message)"
    for (key, value) in (event.metadata ?? [:]).sorted(by: { $0.key < $1.key }) {
      line += " \(key)=\"\(value)\""
    }
    line += "\n"
    // One write a line, so that lines of several threads do not mix.
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
