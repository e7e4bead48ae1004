/// Signals by name or number, as kill(1) takes them on Linux.
package enum Signal {
  package static let term: UInt32 = 15
  package static let kill: UInt32 = 9

  private static let names: [String: UInt32] = [
    "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9, "USR1": 10,
    "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STKFLT": 16, "CHLD": 17, "CONT": 18,
    "STOP": 19,
    "TSTP": 20, "TTIN": 21, "TTOU": 22, "URG": 23, "XCPU": 24, "XFSZ": 25, "VTALRM": 26, "PROF": 27,
    "WINCH": 28,
    "IO": 29, "PWR": 30, "SYS": 31, "RTMIN": 34, "RTMAX": 64,
  ]

  /// A schema has no pattern that leaves the case open.
  static let schema: JSONValue = [
    "anyOf": [
      ["type": "integer", "minimum": 1, "maximum": 64],
      ["type": "string", "description": "a name such as TERM or SIGTERM in any case, RTMIN+1, or a number"],
    ]
  ]

  /// `15`, `TERM`, `SIGTERM`, any case, `RTMIN+1`.
  package static func parse(_ value: JSONValue) -> UInt32? {
    switch value {
    case .int(let number): return (1...64).contains(number) ? UInt32(number) : nil
    case .string(let text):
      if let number = UInt32(text) { return (1...64).contains(number) ? number : nil }
      var name = text.uppercased()
      if name.hasPrefix("SIG") { name.removeFirst(3) }
      if let number = names[name] { return number }
      guard name.hasPrefix("RTMIN+"), let offset = UInt32(name.dropFirst(6)), offset <= 30 else { return nil }
      return 34 + offset
    default: return nil
    }
  }
}
