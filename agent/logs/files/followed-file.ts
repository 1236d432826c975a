import type { BigIntStats } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'

import { monotonicMs } from '../../lib/monotonic.ts'
import { EventAssembler, type EventReceiver } from '../events/event-assembler.ts'
import { hasHead, isSameFile, maxHeadBytes, msOf, readHead, type FileHead } from './file-identity.ts'
import { lineReading, type LineFormat } from '../events/line-format.ts'
import { findLineStart } from './line-start.ts'
import type { LogCursor } from '../log-cursors.ts'
import { keptEvent, type EventOrigin, type SourceEvent } from '../events/source-event.ts'
import type { ReadMemory, TextSlab } from '../events/text-slab.ts'
import type { WrittenClock } from './written-clock.ts'

export type SeenFile = Pick<BigIntStats, 'size' | 'mtimeNs' | 'birthtimeNs' | 'nlink'>

export interface KnownFile {
  readonly path: string
  readonly handle: FileHandle
  readonly fileId: string
  readonly seen: SeenFile
  readonly head: FileHead
  readonly positionBytes: number
  /** Whether the byte before that is one of the same line. */
  readonly isMidLine: boolean
  /** Of the same content, by whatever name and copy. */
  readonly writtenClock: WrittenClock
  readonly format: LineFormat
}

const partialLineWaitMs = 10_000

/**
 * One file from its first byte to its end, whatever it is renamed to: read ahead of what was accepted, with a
 * cursor that follows what was accepted, and never passes a line that waits for its end or for more lines of its event. Not to be
 * used by two callers at once.
 */
export class FollowedFile implements AsyncDisposable, EventOrigin {
  readonly path: string
  readonly fileId: string
  readonly writtenClock: WrittenClock
  readonly #format: LineFormat
  #assembler: EventAssembler
  readonly #groupWaitMs: number
  #handle: FileHandle | undefined
  #head: FileHead
  #seen: SeenFile
  #readBytes: number
  #acceptedBytes: number
  #unacceptedEvents = 0
  #ready: SourceEvent[] = []
  readonly #keep: EventReceiver = (event) => this.#ready.push(keptEvent(event))
  #atEnd = false
  #isDisowned = false
  #grewAtMs = monotonicMs()
  #isReadAll = false
  #readAllAtMs: number | undefined

  constructor({ path, handle, fileId, seen, head, positionBytes, isMidLine, writtenClock, format }: KnownFile) {
    this.path = path
    this.fileId = fileId
    this.writtenClock = writtenClock
    this.#format = format
    this.#assembler = new EventAssembler({ positionBytes, isMidLine, origin: this, ...lineReading(format) })
    this.#groupWaitMs = (format.multiLine?.waitSeconds ?? 0) * 1_000
    this.#handle = handle
    this.#head = head
    this.#seen = seen
    this.#readBytes = positionBytes
    this.#acceptedBytes = positionBytes
    if (this.unreadBytes === 0) this.#readAllAtMs = this.#grewAtMs
  }

  /** As last seen. */
  get seen(): SeenFile {
    return this.#seen
  }

  get sizeBytes(): number {
    return Math.max(Number(this.#seen.size), this.#assembler.positionBytes)
  }

  /** Bytes that were there when the file was last seen and have not been read. */
  get unreadBytes(): number {
    return Math.max(0, Number(this.#seen.size) - this.#readBytes)
  }

  /** Read, but waiting for a line break or for more lines. */
  get partialBytes(): number {
    return this.#assembler.pendingBytes
  }

  /** Whether it holds events of lines that were ended without their break: `read` tells of them, and of nothing else. */
  get hasReady(): boolean {
    return this.#ready.length > 0
  }

  get hasMore(): boolean {
    return this.hasReady || (this.#handle !== undefined && !this.#atEnd && this.unreadBytes > 0)
  }

  /** Whether it was ended and everything of it was accepted. */
  get isSettled(): boolean {
    return this.#handle === undefined && this.#ready.length === 0 && this.#unacceptedEvents === 0
  }

  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  /** Whether its content is still in its file, to be followed by nobody else. */
  get isOwner(): boolean {
    return !this.#isDisowned
  }

  /** Whether it is the file on the disk. */
  owns(stats: BigIntStats): boolean {
    const bornMs = msOf(this.#seen.birthtimeNs)
    return this.isOwner && isSameFile(stats, { fileId: this.fileId, bornMs })
  }

  /** When it was last seen to have grown, on the monotonic clock. */
  get quietSinceMs(): number {
    return this.#grewAtMs
  }

  /** When everything in it had last been read, on the monotonic clock; undefined when it never was. */
  get readAllAtMs(): number | undefined {
    return this.#readAllAtMs
  }

  get cursor(): LogCursor {
    const isAccepted = this.#unacceptedEvents + this.#ready.length === 0
    const { positionBytes } = this.#assembler
    return {
      path: this.path,
      fileId: this.fileId,
      ...this.#head,
      positionBytes: isAccepted ? Math.max(this.#acceptedBytes, positionBytes) : this.#acceptedBytes,
      sizeBytes: this.sizeBytes,
      bornMs: msOf(this.#seen.birthtimeNs),
      modifiedMs: msOf(this.#seen.mtimeNs),
    }
  }

  /** The cursor with which another copy of the same content is read on, nothing left out. */
  get readCursor(): LogCursor {
    return { ...this.cursor, positionBytes: this.#assembler.positionBytes }
  }

  /** Takes note of what the file is like now; `replaced`: its content was truncated or is another file's. */
  async observe(stats: SeenFile): Promise<'followed' | 'replaced'> {
    if (this.#handle === undefined) return 'followed'
    if (stats.size === this.#seen.size && stats.mtimeNs === this.#seen.mtimeNs) {
      this.#seen = stats
      this.writtenClock.look(Number(stats.size))
      this.#endWhatWaits()
      return 'followed'
    }
    if (Number(stats.size) < this.#readBytes || !(await hasHead(this.#handle, this.#head))) return 'replaced'
    this.#seen = stats
    this.writtenClock.look(Number(stats.size))
    this.#atEnd = false
    this.#grewAtMs = monotonicMs()
    if (this.#head.headBytes < maxHeadBytes) this.#head = await readHead(this.#handle)
    return 'followed'
  }

  /** As observe, by the open file instead of by a path. */
  async observeByHandle(): Promise<'followed' | 'replaced'> {
    if (this.#handle === undefined) return 'followed'
    return await this.observe(await this.#handle.stat({ bigint: true }))
  }

  /**
   * Whether another file has the same bytes as this one up to its end, by its first and last ones; or, where this one was
   * truncated since it was last seen, what was read of it.
   */
  async isCopiedTo(other: FileHandle): Promise<boolean> {
    if (this.#handle === undefined) return false
    const { size } = await other.stat()
    if (!(await this.#isStillIt(this.#handle, this.#readBytes))) {
      const { headBytes, positionBytes } = this.readCursor
      return headBytes > 0 && size >= positionBytes && (await hasHead(other, this.#head))
    }
    for (const atBytes of [0, Math.max(0, size - maxHeadBytes)]) {
      const head = await readHead(other, { maxBytes: Math.min(size, maxHeadBytes), atBytes })
      if (!(await hasHead(this.#handle, head, atBytes))) return false
    }
    return true
  }

  /**
   * Reads as much as a slab of `memory` holds, and `maxBytes`, at most, telling `each` of the events; their origin is this
   * file, to be told when they are accepted.
   */
  async read(memory: ReadMemory, each: EventReceiver, maxBytes = Infinity): Promise<void> {
    const take = (event: SourceEvent): void => {
      this.#unacceptedEvents += 1
      each(event)
    }
    if (this.#ready.length > 0) for (const event of this.#ready.splice(0)) take(event)
    else await this.#readOn(memory, take, maxBytes)
  }

  /** Ends the partial line, and the event that waits for more lines, where it is, for want of memory. */
  cutPartialLine(): void {
    this.#assembler.flush(this.#keep)
  }

  /** Moves the cursor: events are accepted in the order that they were read in. */
  accepted(position: number): void {
    this.#acceptedBytes = position
    this.#unacceptedEvents -= 1
  }

  /** Lets go of the file. A partial line becomes a line. What was not read does not count any more; answers how much it was. */
  async end(): Promise<number> {
    const { unreadBytes } = this
    while (this.partialBytes > 0) this.cutPartialLine()
    this.#seen = { ...this.#seen, size: BigInt(this.#readBytes) }
    await this[Symbol.asyncDispose]()
    return unreadBytes
  }

  /** Whether everything that was read was accepted, so that it can go on elsewhere. */
  get isDrained(): boolean {
    return this.#ready.length === 0 && this.#unacceptedEvents === 0
  }

  /** Goes on at the first line that starts at or after `positionBytes`. Only when it is drained. */
  async skipTo(positionBytes: number): Promise<void> {
    if (this.#handle === undefined) return
    const startBytes = await findLineStart(this.#handle, positionBytes, Number(this.#seen.size))
    this.#assembler = new EventAssembler({ positionBytes: startBytes, origin: this, ...lineReading(this.#format) })
    this.#readBytes = startBytes
    this.#acceptedBytes = startBytes
  }

  /** Says that the content is no longer in the file: whoever finds the file finds another one. */
  disown(): void {
    this.#isDisowned = true
  }

  /** Closes the file and drops what is not a whole event: for a stop, and when a copy is read on from `readCursor`. */
  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  async #readOn(memory: ReadMemory, each: EventReceiver, maxBytes: number): Promise<void> {
    if (this.#handle === undefined) return
    const slab = memory.take()
    try {
      const length = Math.min(slab.bytes.length, maxBytes, Math.max(1, this.unreadBytes))
      const { bytesRead } = await this.#handle.read(slab.bytes, 0, length, this.#readBytes)
      const atMs = monotonicMs()
      if (await this.#isStillIt(this.#handle, this.#readBytes + bytesRead)) {
        this.#took({ bytesRead, atMs }, { slab, memory }, each)
      } else this.#atEnd = true
    } finally {
      slab.release()
    }
  }

  #took(
    { bytesRead, atMs }: { readonly bytesRead: number; readonly atMs: number },
    { slab, memory }: { readonly slab: TextSlab; readonly memory: ReadMemory },
    each: EventReceiver,
  ): void {
    // What is written after a pause has its own time.
    if (this.#isReadAll) this.#assembler.forgetTime()
    this.#atEnd = bytesRead === 0
    this.#readBytes += bytesRead
    this.#isReadAll = this.unreadBytes === 0
    if (this.#isReadAll) this.#readAllAtMs = atMs
    const offsetMsOf = this.writtenClock.offsetMsOf.bind(this.writtenClock)
    const filled = memory.filled(slab, bytesRead)
    const { bytes } = filled ?? slab
    this.#assembler.push(bytes.subarray(0, bytesRead), { atMs, offsetMsOf, slab: filled }, each)
    filled?.release()
  }

  /** Whether what was read up to `endBytes` is of this file: it may have been truncated and written anew since it was looked at. */
  async #isStillIt(handle: FileHandle, endBytes: number): Promise<boolean> {
    const { size, mtimeNs } = await handle.stat({ bigint: true })
    if (Number(size) < endBytes) return false
    return mtimeNs === this.#seen.mtimeNs || (await hasHead(handle, this.#head))
  }

  #endWhatWaits(): void {
    if (this.hasMore) return
    const quietMs = monotonicMs() - this.#grewAtMs
    if (quietMs >= partialLineWaitMs) this.cutPartialLine()
    else if (quietMs >= this.#groupWaitMs) this.#assembler.endGroup(this.#keep)
  }
}
