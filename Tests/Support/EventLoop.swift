internal import FIFOIO
internal import Foundation

/// The loop of the test process, of which there can be one.
package enum EventLoop {
  private static let once: Void = Thread.detachNewThread { Loop.run() }

  package static func start() { once }
}
