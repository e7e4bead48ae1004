package import FIFOIO
package import Journal

/// How the outputs of a process are kept.
package struct OutputOptions: Sendable, Equatable {
  /// Bytes of each stream that are kept while nobody reads.
  package var backlog = 262_144
  package var overflow = Overflow.block

  package init() {}
}

/// The command that a process comes from.
package struct Origin: Sendable, Equatable {
  /// Its idempotency key, if any.
  package var key = ""
  /// What becomes of the process when the connection goes that the command came by.
  package var orphan = ProcessRecord.Orphan.stays

  package init(key: String = "", orphan: ProcessRecord.Orphan = .stays) {
    (self.key, self.orphan) = (key, orphan)
  }
}
