internal import FIFOIO

/// What a process needs of the runtime that holds it.
@Loop
protocol ProcessHost: AnyObject {
  /// Writes down what another worker must know of it.
  func save(_ process: ContainerProcess)
  func forget(_ process: ContainerProcess)
  /// A stream of an earlier worker's process cannot be gone on with.
  func streamIsLost(_ process: ContainerProcess, _ path: String, _ error: SystemError)
  /// FIFOs stay when their process is over.
  var keepsBundles: Bool { get }
  func tell(_ event: LifecycleEvent)
  func stdinBroke(_ process: ContainerProcess)
  func stdinTakes(_ process: ContainerProcess, upTo offset: UInt64)
  func closeIO(of process: ContainerProcess) async
  /// Nobody knows what has become of it: it must not go on.
  func endUnseen(_ process: ContainerProcess)
  func processClosed(_ process: ContainerProcess)
}
