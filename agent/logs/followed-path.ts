import type { BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'

import { errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { fileIdOf } from './file-identity.ts'
import { lostFile, openFollowedFile, type FollowedFile } from './followed-file.ts'
import type { LogCursor } from './log-cursors.ts'
import type { LogTarget } from './log-destination.ts'
import { findByFileId, findRotated, isNewer } from './rotated-files.ts'

export interface FollowedPathDeps {
  readonly path: string
  /** Where its lines go: several paths may share one stream. */
  readonly target: LogTarget
  /** Where to go on, oldest file first. */
  readonly cursors: readonly LogCursor[]
  /** The cursor of a file that is known by another name and no longer followed under it. */
  readonly cursorOf: (fileId: string) => LogCursor | undefined
  /** Whether any path follows the file. */
  readonly isFollowed: (fileId: string) => boolean
  /** Called once for bytes that went away unread. */
  readonly onBytesLost: (path: string, bytes: number) => void
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
}

const lateWriterMs = 30_000
const deletedHoldMs = 600_000
const maxFilesPerPath = 64

/**
 * A path and the files that were there one after the other, through rotation by renaming, by copying and truncating,
 * and through restarts. An old file is read to its end before the next one; it stays open for a while, because a
 * writer may be late to notice, and for ten minutes at most once it is deleted.
 */
export class FollowedPath implements AsyncDisposable {
  readonly path: string
  readonly target: LogTarget
  /** What the last look or read failed with. */
  lastError: unknown
  readonly #deps: FollowedPathDeps
  /** Oldest first. */
  #files: FollowedFile[] = []
  /** The file that was at the path at the last look; the others are on their way out. */
  #live: FollowedFile | undefined
  #toResume: readonly LogCursor[]
  #lastLookMs = monotonicMs()

  constructor(deps: FollowedPathDeps) {
    this.#toResume = deps.cursors
    this.path = deps.path
    this.target = deps.target
    this.#deps = deps
  }

  get files(): readonly FollowedFile[] {
    return this.#files
  }

  get hasMore(): boolean {
    return this.#files.some((file) => file.hasMore)
  }

  get cursors(): readonly LogCursor[] {
    return [...this.#files.map((file) => file.cursor), ...this.#toResume]
  }

  /** Whether there is nothing at the path and nothing left of what was. */
  get isOver(): boolean {
    return this.#files.length === 0 && this.#toResume.length === 0
  }

  /** Sees what became of the files; cheap when nothing did. Throws the file system's error. */
  async look(): Promise<void> {
    await this.#resume()
    const stats = await statFile(this.path)
    const live = this.#live
    if (live === undefined || stats === undefined || live.fileId !== fileIdOf(stats)) {
      this.#live = undefined
      if (stats !== undefined) await this.#followNext(fileIdOf(stats))
    } else if ((await live.observe(stats)) === 'replaced') {
      this.#live = undefined
      await this.#replace(live)
      this.#live = await this.#open({})
    }
    for (const file of this.#files) if (file !== this.#live) await this.#lookAtRotated(file)
    this.#lastLookMs = monotonicMs()
  }

  /** The file to read from: the oldest that has more. */
  nextFile(): FollowedFile | undefined {
    return this.#files.find((file) => file.hasMore)
  }

  /** Forgets the files that were ended and accepted, and answers their cursors. */
  takeSettled(): readonly LogCursor[] {
    const settled = this.#files.filter((file) => file.isSettled)
    if (settled.length > 0) this.#files = this.#files.filter((file) => !file.isSettled)
    return settled.map((file) => file.cursor)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files) await file[Symbol.asyncDispose]()
  }

  /** Takes up the files that were followed before a restart, wherever rotation has put them meanwhile. */
  async #resume(): Promise<void> {
    for (let next = this.#toResume[0]; next !== undefined; next = this.#toResume[0]) {
      const file = await this.#findRest(next)
      if (file !== undefined) this.#files.push(file)
      else await this.#resumeLost(next)
      this.#toResume = this.#toResume.slice(1)
    }
  }

  async #followNext(fileId: string): Promise<void> {
    this.#live = this.#files.find((file) => file.fileId === fileId && file.isOwner && file.isOpen)
    if (this.#live !== undefined || this.#deps.isFollowed(fileId)) return
    const last = this.#files.at(-1)
    if (last !== undefined) await this.#followBetween(last, fileId)
    const cursor = this.#deps.cursorOf(fileId)
    const known = cursor === undefined ? undefined : await this.#open({ cursor })
    this.#live = known ?? (await this.#open({}))
  }

  /** The files that came and went between two looks. */
  async #followBetween(last: FollowedFile, nextFileId: string): Promise<void> {
    const { seen } = last
    for (const { location, fileId, stats } of await findRotated(this.path)) {
      if (fileId === nextFileId || this.#deps.isFollowed(fileId) || !isNewer(stats, seen)) continue
      if (this.#deps.cursorOf(fileId) === undefined) await this.#open({ location })
    }
  }

  /** The content is no longer there: goes on in the copy that rotation made, or says what is lost. */
  async #replace(file: FollowedFile): Promise<void> {
    file.disown()
    const copy = file.cursor.headBytes === 0 ? undefined : await this.#findCopy(file.readCursor)
    if (copy === undefined) {
      await this.#endWithLoss(file)
      return
    }
    this.#files.splice(this.#files.indexOf(file) + 1, 0, copy)
    await file[Symbol.asyncDispose]()
    await this.#followBetween(copy, file.fileId)
  }

  async #lookAtRotated(file: FollowedFile): Promise<void> {
    if ((await file.observeByHandle()) === 'replaced') {
      await this.#replace(file)
      return
    }
    const quietMs = monotonicMs() - file.quietSinceMs
    const isGone = file.seen.nlink === 0n && quietMs >= deletedHoldMs
    const isOneTooMany = file === this.#files[0] && this.#files.length > maxFilesPerPath
    if (file.hasMore) {
      if (isGone) file.disown()
      if (isGone || isOneTooMany) await this.#endWithLoss(file)
    } else if (quietMs >= lateWriterMs) await file.end()
  }

  async #endWithLoss(file: FollowedFile): Promise<void> {
    const bytes = file.unreadBytes
    if (bytes === 0) {
      await file.end()
      return
    }
    const sinceMs = this.#deps.cloudNow() - (monotonicMs() - this.#lastLookMs)
    await file.end(lossRecord({ bytes, path: this.path, between: [sinceMs, this.#deps.cloudNow()] }))
    this.#deps.onBytesLost(this.path, bytes)
  }

  async #resumeLost(cursor: LogCursor): Promise<void> {
    const bytes = cursor.sizeBytes - cursor.positionBytes
    if (bytes <= 0) return
    this.#files.push(await lostFile(cursor, lossRecord({ bytes, path: this.path })))
    this.#deps.onBytesLost(this.path, bytes)
  }

  async #findRest(cursor: LogCursor): Promise<FollowedFile | undefined> {
    const place = await findByFileId(this.path, cursor.fileId)
    if (place !== undefined && !this.#deps.isFollowed(place.fileId)) {
      const file = await openFollowedFile({ path: this.path, location: place.location, cursor })
      if (file !== undefined) return file
    }
    return cursor.headBytes === 0 ? undefined : await this.#findCopy(cursor)
  }

  async #findCopy(cursor: LogCursor): Promise<FollowedFile | undefined> {
    for (const { location, fileId } of (await findRotated(this.path)).toReversed()) {
      if (this.#deps.isFollowed(fileId)) continue
      const file = await openFollowedFile({ path: this.path, location, cursor })
      if (file !== undefined) return file
    }
    return undefined
  }

  async #open(options: { location?: string; cursor?: LogCursor }): Promise<FollowedFile | undefined> {
    const file = await openFollowedFile({ path: this.path, ...options })
    if (file !== undefined) this.#files.push(file)
    return file
  }
}

/** The size and time range of what is missing, as an event in the stream that misses it. */
function lossRecord(loss: {
  readonly bytes: number
  readonly path: string
  readonly between?: readonly [number, number]
}): string {
  const when = loss.between?.map((ms) => new Date(ms).toISOString()).join(' and ')
  const range = when === undefined ? 'while the agent was not running' : `between ${when}`
  return `panorama-agent: ${loss.bytes} bytes of ${loss.path} were removed before they could be sent, ${range}`
}

async function statFile(path: string): Promise<BigIntStats | undefined> {
  try {
    const stats = await stat(path, { bigint: true })
    return stats.isFile() ? stats : undefined
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
