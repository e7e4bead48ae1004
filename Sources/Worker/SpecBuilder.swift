internal import Protocol

/// OCI specs from the short form, with the defaults that people know from `ctr run`.
enum SpecBuilder {
  static func spec(_ short: ShortSpec, container: String, namespace: String) -> JSONValue {
    var resources = short.resources ?? [:]
    // Nothing but the devices that runc itself allows.
    if resources["devices"] == nil { resources["devices"] = [["allow": false, "access": "rwm"]] }
    return [
      "ociVersion": "1.0.2",
      "process": process(short.process),
      "root": ["path": .string(short.rootfs), "readonly": .bool(short.readonly)],
      "hostname": .string(short.hostname ?? container),
      "mounts": .array(defaultMounts + short.mounts),
      "annotations": .object(short.annotations.mapValues(JSONValue.string)),
      "linux": [
        "cgroupsPath": .string("/\(namespace)/\(container)"),
        "namespaces": .array(["pid", "ipc", "uts", "mount", "network"].map { ["type": .string($0)] }),
        "resources": .object(resources),
        "maskedPaths": strings(maskedPaths),
        "readonlyPaths": strings(readonlyPaths),
      ],
    ]
  }

  /// A process of its own.
  static func process(_ short: ShortProcess) -> JSONValue {
    let user = short.user ?? ShortProcess.User()
    let capabilities = strings(defaultCapabilities)
    return [
      "args": strings(short.args),
      "cwd": .string(short.cwd ?? "/"),
      "env": strings(environment(defaultEnvironment(terminal: short.terminal), short.env)),
      "terminal": .bool(short.terminal),
      "user": json(user),
      "noNewPrivileges": true,
      "capabilities": ["bounding": capabilities, "effective": capabilities, "permitted": capabilities],
      "rlimits": [["type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024]],
    ]
  }

  /// A further process of a container: what it does not say it has from the container's own process.
  static func exec(_ short: ShortProcess, in spec: JSONValue?) -> JSONValue {
    guard var process = spec?["process"]?.object else { return self.process(short) }
    process["args"] = strings(short.args)
    process["terminal"] = .bool(short.terminal)
    // A size is the first process's own.
    process["consoleSize"] = nil
    if let cwd = short.cwd { process["cwd"] = .string(cwd) }
    if let user = short.user { process["user"] = json(user) }
    let inherited = process["env"]?.array?.compactMap(\.string) ?? []
    process["env"] = strings(environment(inherited, short.env))
    return .object(process)
  }

  private static func json(_ user: ShortProcess.User) -> JSONValue {
    var members: [String: JSONValue] = ["uid": .int(Int64(user.uid)), "gid": .int(Int64(user.gid))]
    if !user.additionalGids.isEmpty {
      members["additionalGids"] = .array(user.additionalGids.map { .int(Int64($0)) })
    }
    return .object(members)
  }

  /// Later entries replace earlier ones of the same name.
  private static func environment(_ base: [String], _ added: [String]) -> [String] {
    func name(_ entry: String) -> Substring { entry.prefix { $0 != "=" } }
    let names = Set(added.map(name))
    return base.filter { !names.contains(name($0)) } + added
  }

  private static func defaultEnvironment(terminal: Bool) -> [String] {
    ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] + (terminal ? ["TERM=xterm"] : [])
  }

  private static func strings(_ texts: [String]) -> JSONValue {
    .array(texts.map(JSONValue.string))
  }

  private static let defaultCapabilities = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
  ]

  private static let maskedPaths = [
    "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
  ]

  private static let readonlyPaths = [
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
  ]

  private static let defaultMounts: [JSONValue] = [
    mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"]),
    mount("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    mount(
      "/dev/pts", "devpts", "devpts",
      ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
    mount("/dev/shm", "tmpfs", "shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    mount("/dev/mqueue", "mqueue", "mqueue", ["nosuid", "noexec", "nodev"]),
    mount("/sys", "sysfs", "sysfs", ["nosuid", "noexec", "nodev", "ro"]),
    mount("/run", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
  ]

  private static func mount(_ destination: String, _ type: String, _ source: String, _ options: [String])
    -> JSONValue
  {
    [
      "destination": .string(destination), "type": .string(type), "source": .string(source),
      "options": strings(options),
    ]
  }
}
