package import SwiftProtobuf

/// The answer of methods that have nothing to say.
package typealias Empty = Google_Protobuf_Empty

/// containerd's services, as far as they are used here.
package enum ContainerdService {
  package enum Version {
    package static let version = UnaryMethod<Empty, CDVersionResponse>(
      "/containerd.services.version.v1.Version/Version")
  }

  package enum Containers {
    package static let get = UnaryMethod<CDGetContainerRequest, CDGetContainerResponse>(
      "/containerd.services.containers.v1.Containers/Get")
    package static let listStream = StreamMethod<CDListContainersRequest, CDListContainerMessage>(
      "/containerd.services.containers.v1.Containers/ListStream")
    package static let create = UnaryMethod<CDCreateContainerRequest, CDCreateContainerResponse>(
      "/containerd.services.containers.v1.Containers/Create")
    package static let delete = UnaryMethod<CDDeleteContainerRequest, Empty>(
      "/containerd.services.containers.v1.Containers/Delete")
  }

  package enum Tasks {
    package static let create = UnaryMethod<CDCreateTaskRequest, CDCreateTaskResponse>(
      "/containerd.services.tasks.v1.Tasks/Create")
    package static let start = UnaryMethod<CDStartRequest, CDStartResponse>(
      "/containerd.services.tasks.v1.Tasks/Start")
    package static let delete = UnaryMethod<CDDeleteTaskRequest, CDDeleteResponse>(
      "/containerd.services.tasks.v1.Tasks/Delete")
    package static let deleteProcess = UnaryMethod<CDDeleteProcessRequest, CDDeleteResponse>(
      "/containerd.services.tasks.v1.Tasks/DeleteProcess")
    package static let get = UnaryMethod<CDGetRequest, CDGetResponse>(
      "/containerd.services.tasks.v1.Tasks/Get")
    package static let list = UnaryMethod<CDListTasksRequest, CDListTasksResponse>(
      "/containerd.services.tasks.v1.Tasks/List")
    package static let kill = UnaryMethod<CDKillRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/Kill")
    package static let exec = UnaryMethod<CDExecProcessRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/Exec")
    package static let pause = UnaryMethod<CDPauseTaskRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/Pause")
    package static let resume = UnaryMethod<CDResumeTaskRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/Resume")
    package static let update = UnaryMethod<CDUpdateTaskRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/Update")
    package static let checkpoint = UnaryMethod<CDCheckpointTaskRequest, CDCheckpointTaskResponse>(
      "/containerd.services.tasks.v1.Tasks/Checkpoint")
    package static let metrics = UnaryMethod<CDMetricsRequest, CDMetricsResponse>(
      "/containerd.services.tasks.v1.Tasks/Metrics")
    package static let resizePty = UnaryMethod<CDResizePtyRequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/ResizePty")
    package static let closeIO = UnaryMethod<CDCloseIORequest, Empty>(
      "/containerd.services.tasks.v1.Tasks/CloseIO")
    package static let listPids = UnaryMethod<CDListPidsRequest, CDListPidsResponse>(
      "/containerd.services.tasks.v1.Tasks/ListPids")
    package static let wait = UnaryMethod<CDWaitRequest, CDWaitResponse>(
      "/containerd.services.tasks.v1.Tasks/Wait")
  }

  package enum Events {
    package static let publish = UnaryMethod<CDPublishRequest, Empty>(
      "/containerd.services.events.v1.Events/Publish")
    package static let subscribe = StreamMethod<CDSubscribeRequest, CDEnvelope>(
      "/containerd.services.events.v1.Events/Subscribe")
  }
}
