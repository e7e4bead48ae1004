internal import ContainerdAPI
internal import FIFOIO
internal import Logging
internal import SwiftProtobuf

extension ContainerRuntime {
  private static let barrierTopic = "/worker/sync"

  /// Returns when the first attempt to reach containerd has succeeded or failed, or the time is over.
  package func waitForFirstAttempt(atMost limit: Duration) async {
    let firstAttempt = firstAttempt
    let timer = Poller.shared.schedule(after: limit) { firstAttempt.resume() }
    await firstAttempt.wait()
    Poller.shared.cancel(timer)
  }

  /// Follows containerd's events from now on, over every loss of the connection.
  package func follow() {
    subscription = Task { @Loop in
      var delay = Duration.milliseconds(50)
      while !Task.isCancelled {
        do throws(RuntimeError) {
          try await followOnce { delay = .milliseconds(50) }
          lost("containerd ended the event stream")
        } catch {
          lost(error.message)
        }
        await Loop.sleep(delay)
        delay = min(delay * 2, .seconds(1))
      }
    }
  }

  private func lost(_ reason: String) {
    if Task.isCancelled { return }
    lastFailure = reason
    firstAttempt.resume()
    guard connected else { return }
    connected = false
    log.warning("containerd is gone", metadata: ["reason": "\(reason)"])
    tell(.containerdDisconnected(reason: reason))
  }

  /// Subscribes, proves that the subscription is live, compares, and then hands on events until the stream ends.
  private func followOnce(_ live: @Loop @escaping () -> Void) async throws(RuntimeError) {
    _ = try await fetchVersion()
    let namespace = "namespace==\(containerd.namespace)"
    var request = CDSubscribeRequest()
    request.filters = [
      "\(namespace),topic~=|^/tasks/|", "\(namespace),topic==\"\(ContainerRuntime.barrierTopic)\"",
    ]
    let stream = try containerd.open(ContainerdService.Events.subscribe, request)
    subscriptions += 1
    let subscription = subscriptions
    defer {
      stream.cancel()
      subscriptions += 1
    }
    // containerd sends no header before the first event, so an event of our own tells that the subscription is live.
    let barrier = Task { @Loop in
      // What is published right after Subscribe is lost at times, so it is repeated, soon at first.
      var pause = Duration.milliseconds(5)
      while !Task.isCancelled {
        await publishBarrier()
        await Loop.sleep(pause)
        pause = min(pause * 2, .milliseconds(200))
      }
    }
    defer { barrier.cancel() }
    var behindBarrier = false
    while true {
      let envelope: CDEnvelope?
      do {
        envelope = try await stream.next()
      } catch {
        throw StatusMapping.error(for: error)
      }
      guard let envelope else { return }
      if envelope.topic == ContainerRuntime.barrierTopic {
        if behindBarrier { continue }
        behindBarrier = true
        barrier.cancel()
        // Beside the stream, so that events go on being read while tasks are listed.
        Task { @Loop in
          await self.reconcileAndTell(subscription)
          live()
        }
        continue
      }
      eventsReceived += 1
      handle(envelope)
    }
  }

  private func publishBarrier() async {
    var request = CDPublishRequest()
    request.topic = ContainerRuntime.barrierTopic
    // containerd 1.6 itself dies of an event that is absent.
    request.event = Google_Protobuf_Any(json: [], typeURL: "containerd-worker.Sync")
    do throws(RuntimeError) {
      _ = try await containerd.call(ContainerdService.Events.publish, request, timeout: .seconds(5))
    } catch {
      log.debug("barrier not published", metadata: ["error": "\(error.message)"])
    }
  }
}
