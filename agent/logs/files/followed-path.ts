import type { BigIntStats } from 'node:fs'

import { AgentError } from '../../lib/errors.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { fileIdOf, isSameFile } from './file-identity.ts'
import { FileOpener, maxTries, type OpenOptions } from './file-opener.ts'
import type { FollowedFile } from './followed-file.ts'
import type { LineFormat } from '../events/line-format.ts'
import type { LogCursor } from '../log-cursors.ts'
import type { LogTarget } from '../log-destination.ts'
import type { GapRecord } from '../log-source.ts'
import { isCopyOfAny, statIfThere } from './open-followed-file.ts'
import { lossOf, type Loss } from './rotation-loss.ts'
import { findByFileId, findRotated, isNewer, timesOf, type FileTimes } from './rotated-files.ts'
import type { UnreadableFile } from './unreadable-files.ts'

export interface FollowedPathDeps {
  readonly path: string
  /** The stream of its lines: two paths may share one. */
  readonly target: LogTarget
  readonly format: LineFormat
  /** Where to go on, oldest file first. */
  readonly cursors: readonly LogCursor[]
  /** When nothing was at the path yet, by the device's clock in milliseconds since 1970; undefined when that is not known. */
  readonly absentAtMs?: number
  /** The cursor of a file that is known by another name and no longer followed under it. */
  readonly cursorOf: (stats: BigIntStats) => LogCursor | undefined
  /** Whether any path follows the file. */
  readonly isFollowed: (stats: BigIntStats) => boolean
  /** Whether another path is still to go on with the file, from a cursor. */
  readonly isAwaited: (stats: BigIntStats) => boolean
  /** The files of other paths that rotation may copy to this path. */
  readonly originals: () => readonly FollowedFile[]
  /** Called once for what went away unread. The cursors do not account for it any more: both are to be saved together. */
  readonly onGap: (record: GapRecord) => void
  /** The cloud's time in milliseconds since 1970. */
  readonly cloudNow: () => number
}

const lateWriterMs = 30_000
const deletedHoldMs = 600_000
const maxFilesPerPath = 64
/** A file that did not grow for longer had no writer when it was truncated. */
const activeMs = 10_000

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
  readonly #opener: FileOpener
  #lastLookMs: number | undefined
  /** Files from later than this are still to come, where none is followed that would tell. */
  #knownUntil: FileTimes | undefined

  constructor(deps: FollowedPathDeps) {
    this.#toResume = deps.cursors
    this.#opener = new FileOpener(deps)
    this.path = deps.path
    this.target = deps.target
    this.#deps = deps
    this.#knownUntil = deps.absentAtMs === undefined ? undefined : timesOf(deps.absentAtMs, deps.absentAtMs)
  }

  get files(): readonly FollowedFile[] {
    return this.#files
  }

  /** Rotated files of this path that may not be read. */
  get unreadable(): readonly UnreadableFile[] {
    return this.#opener.unreadable.all
  }

  get hasMore(): boolean {
    return this.#files.some((file) => file.hasMore)
  }

  get cursors(): readonly LogCursor[] {
    return [...this.#files.map((file) => file.cursor), ...this.#toResume]
  }

  /** Whether it has looked, or knows what to look for. */
  get isKnown(): boolean {
    return this.#lastLookMs !== undefined || this.#toResume.length > 0
  }

  /** Whether there is nothing at the path and nothing left of what was. */
  get isOver(): boolean {
    return this.#files.length + this.#toResume.length + this.unreadable.length === 0
  }

  /** Whether it is still to go on with the file, from a cursor. */
  awaits(stats: BigIntStats): boolean {
    return this.#toResume.some((cursor) => isSameFile(stats, cursor))
  }

  /** Sees what became of the files; cheap when nothing did. Throws the file system's error. */
  async look(): Promise<void> {
    const stats = await statIfThere(this.path)
    await this.#resume(stats)
    await this.#retryUnreadable()
    const live = this.#live
    if (live === undefined || stats === undefined || live.fileId !== fileIdOf(stats)) {
      const isNewlyAbsent = stats === undefined && (live !== undefined || this.#lastLookMs === undefined)
      if (isNewlyAbsent) await this.#followBetween()
      this.#live = undefined
      if (stats !== undefined) await this.#followNext(stats)
    } else {
      if (live.sizeBytes === 0 && stats.mtimeNs > live.seen.mtimeNs) await this.#followCopies(live)
      if ((await live.observe(stats)) === 'replaced') {
        await this.#replace(live)
        this.#live = await this.#open({})
      }
    }
    for (const file of this.#files) if (file !== this.#live) await this.#lookAtRotated(file)
    this.#lastLookMs = monotonicMs()
  }

  /** The file to read from: the oldest that has more. */
  nextFile(): FollowedFile | undefined {
    return this.#files.find((file) => file.hasMore)
  }

  /** Forgets the files that were ended and accepted, and answers the cursors of those that are there still. */
  takeSettled(): readonly LogCursor[] {
    const settled = this.#files.filter((file) => file.isSettled)
    if (settled.length === 0) return []
    this.#files = this.#files.filter((file) => !file.isSettled)
    this.#knownUntil = settled.at(-1)?.seen
    return settled.filter(({ isOwner }) => isOwner).map((file) => file.cursor)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files) await file[Symbol.asyncDispose]()
  }

  /** Takes up the files that were followed before a restart, wherever rotation has put them meanwhile. */
  async #resume(atPath: BigIntStats | undefined): Promise<void> {
    for (const next of this.#toResume) {
      const { fileId, sizeBytes, modifiedMs, bornMs } = next
      const isEmpty = sizeBytes === 0 && modifiedMs !== undefined
      if (isEmpty) await this.#followBetween(fileId, timesOf(modifiedMs + 1, bornMs ?? 0))
      const file = await this.#opener.findRest(next, atPath)
      if (file === 'unreadable') this.#noteKnown(next)
      else if (file !== undefined) this.#insert(file)
      else if (!this.#follows(next)) this.#resumeLost(next, atPath !== undefined)
      if (file !== 'unreadable') this.#toResume = this.#toResume.filter((cursor) => cursor !== next)
    }
  }

  /** What may be read by now comes before what is at the path; of what is gone there is a gap. */
  async #retryUnreadable(): Promise<void> {
    for (const { location, fileId, stats, isAwaited } of this.unreadable) {
      const place = await findByFileId(location, fileId)
      if (place !== undefined && !this.#deps.isFollowed(place.stats)) {
        const file = await this.#opener.tryOpen(place, { isAwaited })
        if (isAwaited && file !== undefined) this.#insert(file)
        else await file?.[Symbol.asyncDispose]()
      } else {
        this.#opener.unreadable.forget(fileId)
        if (place === undefined && isAwaited && stats.size > 0n) this.#report({ bytes: Number(stats.size) })
      }
    }
  }

  /** Whether the file of a cursor is followed, be it by the cursor of the one that it is a copy of. */
  #follows({ fileId, bornMs }: LogCursor): boolean {
    return this.#files.some(({ isOwner, cursor }) => isOwner && cursor.fileId === fileId && cursor.bornMs === bornMs)
  }

  #insert(file: FollowedFile): void {
    const liveAt = this.#files.findIndex((other) => other === this.#live)
    this.#files.splice(liveAt < 0 ? this.#files.length : liveAt, 0, file)
  }

  async #followNext(stats: BigIntStats): Promise<void> {
    this.#live = this.#files.find((file) => file.owns(stats) && file.isOpen)
    if (this.#live !== undefined || this.#deps.isFollowed(stats) || this.#deps.isAwaited(stats)) return
    const fileId = fileIdOf(stats)
    const cursor = this.#deps.cursorOf(stats)
    if (cursor === undefined && (await isCopyOfAny(this.path, this.#deps.originals()))) return
    await this.#followBetween(fileId)
    const known = cursor === undefined ? undefined : await this.#open({ cursor, fileId })
    // Where rotation has put another one there meanwhile, none is live until the next look, which finds both.
    this.#live = known ?? (await this.#open({ fileId }))
  }

  /** The files that came and went between two looks. */
  async #followBetween(
    nextFileId?: string,
    knownUntil: FileTimes | undefined = this.#files.at(-1)?.seen ?? this.#knownUntil,
  ): Promise<void> {
    if (knownUntil === undefined) return
    for (let tries = 0; tries < maxTries; tries += 1) {
      if (await this.#openBetween(knownUntil, nextFileId)) return
    }
    throw new AgentError(`${this.path} is rotated faster than its files can be opened`, { retryable: true })
  }

  /** An empty file that was written to may have been copied and truncated before: nothing in it would tell. */
  async #followCopies(empty: FollowedFile): Promise<void> {
    const { mtimeNs, birthtimeNs } = empty.seen
    await this.#followBetween(empty.fileId, { mtimeNs: mtimeNs + 1n, birthtimeNs })
    this.#files = [...this.#files.filter((file) => file !== empty), empty]
  }

  /** Whether all of them could be opened, or may not be; none after one that is elsewhere now, because they are read in their order. */
  async #openBetween(knownUntil: FileTimes, nextFileId: string | undefined): Promise<boolean> {
    for (const place of await findRotated(this.path)) {
      const { fileId, stats } = place
      if (fileId === nextFileId) return true // it has moved on itself: what came after it is for the next look
      if (this.#deps.isFollowed(stats) || !isNewer(stats, knownUntil)) continue
      if (this.awaits(stats) || this.#deps.isAwaited(stats) || this.#deps.cursorOf(stats) !== undefined) continue
      const file = await this.#opener.tryOpen(place, { isAwaited: true })
      if (file !== undefined) this.#files.push(file)
      else if (!this.#opener.unreadable.has(fileId)) return false
    }
    return true
  }

  /** The content is no longer there: goes on in the copy that rotation made, or says what is lost. */
  async #replace(file: FollowedFile): Promise<void> {
    const { writtenClock, readCursor } = file
    // When it cannot be looked for now, nothing has changed yet, so that the next look finds the same and tries again.
    const copy = readCursor.headBytes === 0 ? undefined : await this.#opener.findCopy(readCursor, { writtenClock })
    file.disown()
    if (file === this.#live) this.#live = undefined
    if (copy === undefined) {
      const isActive = monotonicMs() - file.quietSinceMs < activeMs
      await this.#endWithLoss(file, { mayMissMore: isActive })
      return
    }
    this.#files.splice(this.#files.indexOf(file) + 1, 0, copy)
    await file[Symbol.asyncDispose]()
    await this.#followBetween(file.fileId)
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
      if (isGone || isOneTooMany) await this.#endWithLoss(file, { mayMissMore: false })
    } else if (quietMs >= lateWriterMs) await file.end()
  }

  async #endWithLoss(file: FollowedFile, { mayMissMore }: { readonly mayMissMore: boolean }): Promise<void> {
    const bytes = await file.end()
    if (bytes > 0 || mayMissMore) this.#report(lossOf(file, { bytes, mayMissMore, nowMs: this.#deps.cloudNow() }))
  }

  /** Where something else is at the path, it was rotated, and may have had more by then than was ever seen. */
  #resumeLost(cursor: LogCursor, isRotated: boolean): void {
    const { sizeBytes, positionBytes } = cursor
    const bytes = Math.max(0, sizeBytes - positionBytes)
    this.#noteKnown(cursor)
    if (bytes > 0 || isRotated) this.#report(bytes === 0 ? {} : { bytes })
  }

  #noteKnown({ modifiedMs, bornMs }: LogCursor): void {
    if (modifiedMs !== undefined) this.#knownUntil = timesOf(modifiedMs, bornMs ?? 0)
  }

  #report(loss: Loss): void {
    this.#deps.onGap({ target: this.target, source: this.path, reason: 'rotated', ...loss })
  }

  async #open(options: OpenOptions): Promise<FollowedFile | undefined> {
    const file = await this.#opener.openAt(this.path, options)
    if (file !== undefined) this.#files.push(file)
    return file
  }
}
