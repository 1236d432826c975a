import { constants, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

import { errorCode } from '../lib/errors.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { fileIdOf, hasHead, maxHeadBytes, readHead, type FileHead } from './file-identity.ts'
import { findLineStart } from './line-start.ts'
import { LineSplitter, type Line } from './line-splitter.ts'
import { maxMessageBytes } from './log-batch.ts'
import type { LogCursor } from './log-cursors.ts'

export interface FollowedFileOptions {
  /** The path that the file's lines are told under; it may have been renamed since. */
  readonly path: string
  /** Where to open it. Default: `path`. */
  readonly location?: string
  /** Where to go on. Default: at the first byte. */
  readonly cursor?: LogCursor
}

const readBytes = 65_536
const partialLineWaitMs = 10_000

/**
 * Opens a file, never waiting for a writer. Answers undefined when it is not there, not a regular file, or, with a
 * cursor, not the file that the cursor is about. Throws the file system's error.
 */
export async function openFollowedFile(options: FollowedFileOptions): Promise<FollowedFile | undefined> {
  const { path, location = path, cursor } = options
  const handle = await openIfThere(location)
  if (handle === undefined) return undefined
  try {
    const stats = await handle.stat({ bigint: true })
    if (stats.isFile() && (cursor === undefined || (await fitsCursor(handle, stats, cursor)))) {
      const head = await readHead(handle)
      return new FollowedFile({
        path,
        handle,
        fileId: fileIdOf(stats),
        seen: stats,
        head,
        positionBytes: cursor?.positionBytes ?? 0,
      })
    }
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  return undefined
}

export type SeenFile = Pick<BigIntStats, 'size' | 'mtimeNs' | 'birthtimeNs' | 'nlink'>

interface KnownFile {
  readonly path: string
  readonly handle: FileHandle
  readonly fileId: string
  readonly seen: SeenFile
  readonly head: FileHead
  readonly positionBytes: number
}

/**
 * One file from its first byte to its end, whatever it is renamed to: read ahead of what was accepted, with a
 * cursor that follows what was accepted. Not to be used by two callers at once.
 */
export class FollowedFile implements AsyncDisposable {
  readonly path: string
  readonly fileId: string
  #splitter: LineSplitter
  #handle: FileHandle | undefined
  #head: FileHead
  #seen: SeenFile
  #readBytes: number
  #acceptedBytes: number
  #unacceptedLines = 0
  #ready: Line[] = []
  #atEnd = false
  #isDisowned = false
  #grewAtMs = monotonicMs()

  constructor({ path, handle, fileId, seen, head, positionBytes }: KnownFile) {
    this.path = path
    this.fileId = fileId
    this.#splitter = new LineSplitter({ positionBytes, maxLineBytes: maxMessageBytes })
    this.#handle = handle
    this.#head = head
    this.#seen = seen
    this.#readBytes = positionBytes
    this.#acceptedBytes = positionBytes
  }

  /** As last seen. */
  get seen(): SeenFile {
    return this.#seen
  }

  get sizeBytes(): number {
    return Math.max(Number(this.#seen.size), this.#splitter.positionBytes)
  }

  /** Bytes that were there when the file was last seen and have not been read. */
  get unreadBytes(): number {
    return Math.max(0, Number(this.#seen.size) - this.#readBytes)
  }

  /** Read, but waiting for a line break. */
  get partialBytes(): number {
    return this.#splitter.pendingBytes
  }

  get hasMore(): boolean {
    return this.#ready.length > 0 || (this.#handle !== undefined && !this.#atEnd && this.unreadBytes > 0)
  }

  /** Whether it was ended and everything of it was accepted. */
  get isSettled(): boolean {
    return this.#handle === undefined && this.#ready.length === 0 && this.#unacceptedLines === 0
  }

  get isOpen(): boolean {
    return this.#handle !== undefined
  }

  /** Whether the file on the disk is this one still, to be followed by nobody else. */
  get isOwner(): boolean {
    return !this.#isDisowned
  }

  /** When it last grew, on the monotonic clock. */
  get quietSinceMs(): number {
    return this.#grewAtMs
  }

  get cursor(): LogCursor {
    const isAccepted = this.#unacceptedLines + this.#ready.length === 0
    const positionBytes = isAccepted ? Math.max(this.#acceptedBytes, this.#splitter.positionBytes) : this.#acceptedBytes
    return { path: this.path, fileId: this.fileId, ...this.#head, positionBytes, sizeBytes: this.sizeBytes }
  }

  /** The cursor with which another copy of the same content is read on, nothing left out. */
  get readCursor(): LogCursor {
    return { ...this.cursor, positionBytes: this.#splitter.positionBytes }
  }

  /** Takes note of what the file is like now; `replaced`: its content was truncated or is another file's. */
  async observe(stats: SeenFile): Promise<'followed' | 'replaced'> {
    if (this.#handle === undefined) return 'followed'
    if (stats.size === this.#seen.size && stats.mtimeNs === this.#seen.mtimeNs) {
      this.#endPartialLine()
      return 'followed'
    }
    if (Number(stats.size) < this.#readBytes || !(await hasHead(this.#handle, this.#head))) return 'replaced'
    this.#seen = stats
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

  /** The lines of the next 64 KiB at most; the caller reports each to `accepted` when it is. */
  async read(): Promise<readonly Line[]> {
    const lines = this.#ready.length > 0 ? this.#ready.splice(0) : await this.#readOn()
    this.#unacceptedLines += lines.length
    return lines
  }

  /** Ends the partial line where it is, for want of memory. */
  cutPartialLine(): void {
    this.#ready.push(...this.#splitter.flush())
  }

  /** Moves the cursor: lines are accepted in the order that they were read in. */
  accepted(endBytes: number): void {
    this.#acceptedBytes = endBytes
    this.#unacceptedLines -= 1
  }

  /** Lets go of the file. A partial line becomes a line. What is lost of the file is no part of its size any more. */
  async end(how: 'whole' | 'with loss' = 'whole'): Promise<void> {
    while (this.#splitter.pendingBytes > 0) this.cutPartialLine()
    await this[Symbol.asyncDispose]()
    if (how === 'with loss') this.#seen = { ...this.#seen, size: BigInt(this.#readBytes) }
  }

  /** Whether everything that was read was accepted, so that it can go on elsewhere. */
  get isDrained(): boolean {
    return this.#ready.length === 0 && this.#unacceptedLines === 0
  }

  /** Goes on at the first line that starts at or after `positionBytes`. Only when it is drained. */
  async skipTo(positionBytes: number): Promise<void> {
    if (this.#handle === undefined) return
    const startBytes = await findLineStart(this.#handle, positionBytes, Number(this.#seen.size))
    this.#splitter = new LineSplitter({ positionBytes: startBytes, maxLineBytes: maxMessageBytes })
    this.#readBytes = startBytes
    this.#acceptedBytes = startBytes
  }

  /** Says that the content is no longer in the file: whoever finds the file finds another one. */
  disown(): void {
    this.#isDisowned = true
  }

  /** Closes the file and drops what is not a whole line: for a stop, and when a copy is read on from `readCursor`. */
  async [Symbol.asyncDispose](): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    await handle?.close()
  }

  async #readOn(): Promise<readonly Line[]> {
    if (this.#handle === undefined) return []
    const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, Math.max(1, this.unreadBytes)))
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, this.#readBytes)
    this.#atEnd = bytesRead === 0
    this.#readBytes += bytesRead
    return this.#splitter.push(buffer.subarray(0, bytesRead))
  }

  #endPartialLine(): void {
    if (!this.hasMore && monotonicMs() - this.#grewAtMs >= partialLineWaitMs) this.cutPartialLine()
  }
}

async function openIfThere(location: string): Promise<FileHandle | undefined> {
  try {
    return await open(location, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ENXIO'].includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}

async function fitsCursor(handle: FileHandle, stats: BigIntStats, cursor: LogCursor): Promise<boolean> {
  return Number(stats.size) >= cursor.positionBytes && (await hasHead(handle, cursor))
}
