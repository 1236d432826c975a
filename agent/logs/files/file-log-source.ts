import type { DeliveredSource, LogSourceContext, SourceProgress } from '../delivered-source.ts'
import { skipBacklog } from './file-backlog.ts'
import type { FollowedFile } from './followed-file.ts'
import type { FollowedPath } from './followed-path.ts'
import { FollowedPaths } from './followed-paths.ts'
import type { LogPositions } from '../log-cursors.ts'
import type { LogTarget } from '../log-destination.ts'
import type { EventSink, EventSinks } from '../log-source.ts'
import type { SourcePattern } from '../log-targets.ts'
import type { SourceEvent } from '../events/source-event.ts'
import { ReadMemory } from '../events/text-slab.ts'

export interface FileLogSourceDeps extends Omit<LogSourceContext, 'oldestMs'> {
  readonly patterns: readonly SourcePattern[]
  /** A path that is further behind jumps ahead. */
  readonly maxBacklogBytes: number
}

const readBytes = 262_144
const maxPartialBytes = 4 * 1_048_576

/** The log files that patterns lead to. */
export class FileLogSource implements DeliveredSource {
  readonly #deps: FileLogSourceDeps
  readonly #paths: FollowedPaths
  readonly #memory = new ReadMemory(readBytes)
  #discoverError: unknown
  #hasMore = false

  constructor(deps: FileLogSourceDeps) {
    this.#deps = deps
    const { patterns, onGap, cloudNow, positions } = deps
    this.#paths = new FollowedPaths({ patterns, onGap, cloudNow, cursors: positions.files })
  }

  get hasMore(): boolean {
    return this.#hasMore
  }

  get targets(): readonly LogTarget[] {
    return this.#paths.paths.map(({ target }) => target)
  }

  get positions(): Partial<LogPositions> {
    return { files: this.#paths.cursors }
  }

  async read(
    sinks: EventSinks,
    { signal, beat }: { readonly signal: AbortSignal; readonly beat: () => void },
  ): Promise<void> {
    await this.#discover()
    this.#hasMore = false
    for (const path of this.#paths.nextTurn()) {
      if (signal.aborted) return
      await this.#readFrom(path, sinks.of(path.target), { signal, beat })
      if (path.hasMore) this.#hasMore = true
      beat()
    }
    this.#paths.forgetSettled()
    if (!this.#hasMore) this.#memory.trim()
  }

  progress(): readonly SourceProgress[] {
    return this.#paths.paths.flatMap(({ path, target, lastError, files }) =>
      files.map(({ cursor: { positionBytes, sizeBytes } }) => ({
        name: path,
        target,
        positionBytes,
        sizeBytes,
        backlogBytes: sizeBytes - positionBytes,
        ...(lastError === undefined ? {} : { lastError }),
      })),
    )
  }

  failures(): readonly { readonly what: string; readonly error: unknown }[] {
    const undiscovered =
      this.#discoverError === undefined ? [] : [{ what: 'the log files', error: this.#discoverError }]
    return [...undiscovered, ...this.#paths.failures()]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#paths[Symbol.asyncDispose]()
  }

  async #discover(): Promise<void> {
    try {
      await this.#paths.discover()
      this.#discoverError = undefined
    } catch (error) {
      this.#discoverError = error
    }
  }

  async #readFrom(
    path: FollowedPath,
    sink: EventSink,
    { signal, beat }: { readonly signal: AbortSignal; readonly beat: () => void },
  ): Promise<void> {
    try {
      await path.look()
      const { maxBacklogBytes, onGap, cloudNow } = this.#deps
      const isWaiting = (await skipBacklog(path, { maxBacklogBytes, onGap, cloudNow })) === 'waits'
      // Events that are ready are among what it waits for.
      const next = (): FollowedFile | undefined =>
        isWaiting ? path.files.find(({ hasReady }) => hasReady) : path.nextFile()
      for (let file = next(); file !== undefined; file = next()) {
        if (signal.aborted || sink.isFull) break
        const offer = (event: SourceEvent): void => {
          sink.offer(event)
        }
        await file.read(this.#memory, offer, sink.roomBytes)
        beat()
        if (file.partialBytes > 0 && this.#paths.partialBytes > maxPartialBytes) file.cutPartialLine()
      }
      path.lastError = undefined
    } catch (error) {
      path.lastError = error
    }
  }
}
