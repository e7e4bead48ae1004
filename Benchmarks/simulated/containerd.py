#!/usr/bin/python3
"""A simulated containerd: the gRPC calls that the worker makes, and no containers behind them.

It is for measuring the worker with more containers than a machine can run. Wants Debian's python3-grpcio, python3-protobuf
and protobuf-compiler.
"""
import argparse
import asyncio
import itertools
import os
import resource

import grpc

from messages import load
from shim import Printer, Stdio

containers, events, process, task_events, tasks, version = load(
    "containers", "events", "process", "task_events", "tasks", "version")
from google.protobuf.any_pb2 import Any  # noqa: E402  (behind the modules that must not find it first)
from google.protobuf.empty_pb2 import Empty  # noqa: E402

KILLED = 137


class Namespace:
    def __init__(self):
        self.containers, self.tasks, self.subscribers = {}, {}, set()

    def publish(self, name, topic, event):
        envelope = events.Envelope(namespace=name, topic=topic, event=event)
        envelope.timestamp.GetCurrentTime()
        for queue in self.subscribers:
            queue.put_nowait(envelope)


class Task:
    def __init__(self, request, pid):
        self.stdio = Stdio(request)
        self.ended = asyncio.Event()
        self.about = process.Process(
            container_id=request.container_id, id=request.container_id, pid=pid, status=process.CREATED,
            stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, terminal=request.terminal)

    def end(self):
        self.about.status, self.about.exit_status = process.STOPPED, KILLED
        self.about.exited_at.GetCurrentTime()
        self.ended.set()


class Simulation:
    """Its state outlives every client, as containerd's does."""

    def __init__(self, printer):
        # No process has such a pid.
        self.printer, self.namespaces, self.pids = printer, {}, itertools.count(1 << 23)

    def at(self, context):
        name = dict(context.invocation_metadata()).get("containerd-namespace", "")
        return name, self.namespaces.setdefault(name, Namespace())

    def tell(self, context, topic, event):
        name, namespace = self.at(context)
        namespace.publish(name, topic, packed(event))

    async def find(self, context, kind, key):
        found = getattr(self.at(context)[1], kind).get(key)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"{key}: not found")
        return found

    # Version and events

    async def version(self, request, context):
        return version.VersionResponse(version="simulated", revision="0")

    async def publish(self, request, context):
        name, namespace = self.at(context)
        namespace.publish(name, request.topic, request.event)
        return Empty()

    async def subscribe(self, request, context):
        """All of the namespace, whatever the filters say: the worker asks for nothing else that is told here."""
        subscribers, queue = self.at(context)[1].subscribers, asyncio.Queue()
        subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            subscribers.discard(queue)

    # Containers

    async def create_container(self, request, context):
        known, container = self.at(context)[1].containers, request.container
        if container.id in known:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{container.id}: already exists")
        container.created_at.GetCurrentTime()
        known[container.id] = container
        return containers.CreateContainerResponse(container=container)

    async def get_container(self, request, context):
        return containers.GetContainerResponse(container=await self.find(context, "containers", request.id))

    async def list_containers(self, request, context):
        for container in list(self.at(context)[1].containers.values()):
            yield containers.ListContainerMessage(container=container)

    async def delete_container(self, request, context):
        await self.find(context, "containers", request.id)
        del self.at(context)[1].containers[request.id]
        return Empty()

    # Tasks

    async def create_task(self, request, context):
        await self.find(context, "containers", request.container_id)
        known = self.at(context)[1].tasks
        if request.container_id in known:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{request.container_id}: already exists")
        try:
            task = Task(request, next(self.pids))
        except OSError as error:
            await context.abort(grpc.StatusCode.UNKNOWN, f"cannot open the stdio of {request.container_id}: {error}")
        known[request.container_id] = task
        io = task_events.TaskIO(stdin=request.stdin, stdout=request.stdout, stderr=request.stderr, terminal=request.terminal)
        self.tell(context, "/tasks/create",
                  task_events.TaskCreate(container_id=request.container_id, io=io, pid=task.about.pid))
        return tasks.CreateTaskResponse(container_id=request.container_id, pid=task.about.pid)

    async def start(self, request, context):
        task = await self.find(context, "tasks", request.container_id)
        task.about.status = process.RUNNING
        self.printer.add(task.stdio)
        self.tell(context, "/tasks/start", task_events.TaskStart(container_id=request.container_id, pid=task.about.pid))
        return tasks.StartResponse(pid=task.about.pid)

    async def list_tasks(self, request, context):
        return tasks.ListTasksResponse(tasks=[task.about for task in self.at(context)[1].tasks.values()])

    async def get_task(self, request, context):
        return tasks.GetResponse(process=(await self.find(context, "tasks", request.container_id)).about)

    async def list_pids(self, request, context):
        task = await self.find(context, "tasks", request.container_id)
        return tasks.ListPidsResponse(processes=[process.ProcessInfo(pid=task.about.pid)])

    async def wait(self, request, context):
        task = await self.find(context, "tasks", request.container_id)
        await task.ended.wait()
        return tasks.WaitResponse(exit_status=task.about.exit_status, exited_at=task.about.exited_at)

    async def kill(self, request, context):
        """Every signal ends it."""
        task = await self.find(context, "tasks", request.container_id)
        if not task.ended.is_set():
            task.end()
            self.printer.remove(task.stdio)
            about = task.about
            self.tell(context, "/tasks/exit", task_events.TaskExit(
                container_id=about.id, id=about.id, pid=about.pid, exit_status=about.exit_status, exited_at=about.exited_at))
        return Empty()

    async def delete_task(self, request, context):
        about = (await self.find(context, "tasks", request.container_id)).about
        if about.status == process.RUNNING:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{about.id}: is running")
        self.printer.remove(self.at(context)[1].tasks.pop(about.id).stdio)
        end = {"pid": about.pid, "exit_status": about.exit_status, "exited_at": about.exited_at}
        self.tell(context, "/tasks/delete", task_events.TaskDelete(container_id=about.id, id=about.id, **end))
        return tasks.DeleteResponse(id=about.id, **end)


def packed(event):
    # containerd's registry has the bare name, without a host in front.
    return Any(type_url=event.DESCRIPTOR.full_name, value=event.SerializeToString())


def handlers(simulation):
    """Everything else is answered UNIMPLEMENTED."""
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    services = {
        "version.v1.Version": {"Version": (simulation.version, Empty)},
        "events.v1.Events": {
            "Publish": (simulation.publish, events.PublishRequest),
            "Subscribe": (simulation.subscribe, events.SubscribeRequest, stream)},
        "containers.v1.Containers": {
            "Create": (simulation.create_container, containers.CreateContainerRequest),
            "Get": (simulation.get_container, containers.GetContainerRequest),
            "ListStream": (simulation.list_containers, containers.ListContainersRequest, stream),
            "Delete": (simulation.delete_container, containers.DeleteContainerRequest)},
        "tasks.v1.Tasks": {
            "Create": (simulation.create_task, tasks.CreateTaskRequest),
            "Start": (simulation.start, tasks.StartRequest),
            "List": (simulation.list_tasks, tasks.ListTasksRequest),
            "Get": (simulation.get_task, tasks.GetRequest),
            "ListPids": (simulation.list_pids, tasks.ListPidsRequest),
            "Wait": (simulation.wait, tasks.WaitRequest),
            "Kill": (simulation.kill, tasks.KillRequest),
            "Delete": (simulation.delete_task, tasks.DeleteTaskRequest)},
    }
    for service, methods in services.items():
        yield grpc.method_handlers_generic_handler(f"containerd.services.{service}", {
            name: (kind[0] if kind else unary)(
                call, request_deserializer=request.FromString, response_serializer=lambda answer: answer.SerializeToString())
            for name, (call, request, *kind) in methods.items()})


async def serve(options):
    printer = Printer(options.interval)
    printer.start()
    # containerd's own limits (defaults.DefaultMaxRecvMsgSize).
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 16 << 20), ("grpc.max_send_message_length", 16 << 20)])
    server.add_generic_rpc_handlers(tuple(handlers(Simulation(printer))))
    server.add_insecure_port(f"unix:{options.socket}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("socket", type=os.path.abspath)
    parser.add_argument("--interval", type=float, default=1, help="seconds from one line of a task to its next (1)")
    options = parser.parse_args()
    # One descriptor for each stream of each task.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(options))


if __name__ == "__main__":
    main()
