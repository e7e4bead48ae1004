import Protocol

// libFuzzer's entry for programs that have a main of their own (FuzzerInterface.h).
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
  _ count: UnsafeMutablePointer<CInt>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
  _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main
struct FuzzLines {
  static func main() {
    var count = CommandLine.argc
    var arguments = CommandLine.unsafeArgv
    _ = runFuzzer(&count, &arguments) { fuzzLines($0, $1) }
  }
}

/// Any bytes: cut into lines, however they arrive; each line parsed and, where it is one, written again.
private func fuzzLines(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = UnsafeRawBufferPointer(start: start, count: count)
  let whole = lines(input, cut: max(count, 1))
  // The first byte says how the same bytes are cut: the lines must be the same.
  let cut = Int(input.first ?? 0) % 7 + 1
  precondition(lines(input, cut: cut) == whole, "the cut changes the lines")
  for case .line(let bytes) in whole { bytes.withUnsafeBytes(parse) }
  encode(input)
  return 0
}

private enum Line: Equatable {
  case line([UInt8])
  case tooLong(Int)
}

private func lines(_ input: UnsafeRawBufferPointer, cut: Int) -> [Line] {
  var framer = LineFramer(limit: 256)
  var found: [Line] = []
  var rest = input[...]
  while !rest.isEmpty {
    framer.feed(UnsafeRawBufferPointer(rebasing: rest.prefix(cut))) { line in
      switch line {
      case .line(let bytes, _): found.append(.line(Array(bytes)))
      case .tooLong(let number): found.append(.tooLong(number))
      }
    }
    rest = rest.dropFirst(cut)
  }
  _ = framer.end()
  return found
}

private func parse(_ line: UnsafeRawBufferPointer) {
  precondition(outcome(line, long: 0) == outcome(line, long: .max), "a string's way changes what it is")
  do throws(Request.Refusal) {
    let request = try Request(line: line)
    do throws(ProtocolError) { _ = try Commands.parse(request) } catch { check(error) }
    // What was taken can be written, and read again as the same.
    let again = JSONValue.object(request.arguments).encoded
    let parsed = again.withUnsafeBytes { bytes -> JSONValue? in
      do throws(ProtocolError) { return try JSONParser.parse(bytes) } catch { return nil }
    }
    precondition(parsed == .object(request.arguments), "written otherwise than read")
  } catch {
    check(error.error)
  }
}

private enum Outcome: Equatable {
  case members([String: JSONValue])
  case error(ErrorCode, position: Int?)
}

private func outcome(_ line: UnsafeRawBufferPointer, long: Int) -> Outcome {
  do throws(ProtocolError) {
    return .members(try JSONParser.parseObject(line, long: long))
  } catch {
    return .error(error.code, position: error.position)
  }
}

/// An error is a line of valid JSON, whatever it quotes.
private func check(_ error: ProtocolError) {
  var bytes: [UInt8] = []
  ServerLine.error(error, ServerLine.Reply(id: nil, line: 1), into: &bytes)
  precondition(bytes.last == 0x0A && bytes.filter { $0 == 0x0A }.count == 1)
  bytes.dropLast().withUnsafeBytes { line in
    do throws(ProtocolError) { _ = try JSONParser.parse(line) } catch {
      preconditionFailure("bad line: \(error)")
    }
  }
}

/// Output of any bytes comes out whole.
private func encode(_ input: UnsafeRawBufferPointer) {
  let line = StdioLine(container: "c", process: .initial, stream: .stdout, encoding: .auto)
  var bytes: [UInt8] = []
  let taken = line.append(input, offset: 0, final: true, to: &bytes)
  precondition(taken == input.count)
  if input.isEmpty { return }
  let parsed = bytes.dropLast().withUnsafeBytes { line -> JSONValue? in
    do throws(ProtocolError) { return try JSONParser.parse(line) } catch { return nil }
  }
  let output =
    parsed?["text"]?.string.map { Array($0.utf8) } ?? parsed?["base64"]?.string.flatMap(Base64.decode)
  precondition(output == Array(input), "output changed")
}
