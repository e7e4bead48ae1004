internal import CLinux
internal import Foundation
internal import Glibc

/// A terminal whose keys and screen a test has.
package final class PseudoTerminal: Sendable {
  private let master: Descriptor
  /// What a program takes for its terminal.
  package let slave: Descriptor
  private let screen = Locked<[UInt8]>([])

  package init(columns: Int, rows: Int) throws {
    var ends: [Int32] = [-1, -1]
    guard clinux_open_terminal(&ends) == 0 else { throw SystemError(call: "openpt") }
    (master, slave) = (Descriptor(ends[0]), Descriptor(ends[1]))
    resize(columns: columns, rows: rows)
  }

  package func resize(columns: Int, rows: Int) {
    _ = clinux_set_terminal_size(master.rawValue, Int32(columns), Int32(rows))
  }

  package func type(_ text: String) async throws { try await master.writeAll(Array(text.utf8)) }

  /// Waits until a text has appeared since the last one that was waited for.
  package func until(_ text: String, seconds: Int32 = 30) async throws {
    try await offPool { [self] in
      while true {
        let found = screen.with { bytes in
          let shown = String(decoding: bytes, as: UTF8.self)
          guard let range = shown.range(of: text) else { return false }
          bytes = Array(shown[range.upperBound...].utf8)
          return true
        }
        if found { return }
        var waiting = pollfd(fd: master.rawValue, events: Int16(POLLIN), revents: 0)
        var chunk = [UInt8](repeating: 0, count: 4096)
        guard poll(&waiting, 1, seconds * 1000) > 0 else {
          throw TestFailure("no \(text) on \(String(decoding: screen.with { $0 }, as: UTF8.self))")
        }
        let count = chunk.withUnsafeMutableBytes { read(master.rawValue, $0.baseAddress, $0.count) }
        guard count > 0 else { throw TestFailure("the terminal has ended before \(text)") }
        screen.with { $0 += chunk.prefix(count) }
      }
    }
  }

  /// Whether it echoes keys, as it does for whoever has not changed it.
  package var echoes: Bool {
    var settings = termios()
    return tcgetattr(slave.rawValue, &settings) == 0 && settings.c_lflag & tcflag_t(ECHO) != 0
  }
}
