import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { maxHeadBytes } from './file-identity.ts'

const cursorSchema = z.strictObject({
  /** Where the file was when it was last followed there. */
  path: z.string().startsWith('/'),
  fileId: z.string().regex(/^\d+:\d+$/),
  headBytes: z.int().min(0).max(maxHeadBytes),
  headSha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** Everything before it was accepted. */
  positionBytes: z.int().min(0),
  /** How long the file was when it was last seen. */
  sizeBytes: z.int().min(0),
  /** When the file was made and last written to, by its file system, in milliseconds since 1970. */
  bornMs: z.int().optional(),
  modifiedMs: z.int().optional(),
})
const stateSchema = z.strictObject({ version: z.literal(1), cursors: z.array(cursorSchema) })

export type LogCursor = Readonly<z.infer<typeof cursorSchema>>

/** The cursors in a parsed state file, oldest file of a path first. Throws a ZodError when it is not one. */
export function parseLogCursors(json: unknown): readonly LogCursor[] {
  return stateSchema.parse(json).cursors
}

const saveEveryMs = 5_000

/** The file `cursors.json`. Written at most every 5 s and only when a cursor moved, to spare the flash. */
export class LogCursorFile {
  readonly #folder: string
  readonly #log: Log
  #saved = ''
  #savedAtMs = -Infinity

  constructor(folder: string, log: Log) {
    this.#folder = folder
    this.#log = log
  }

  /** None when there is no file, or none that can be read. */
  async load(): Promise<readonly LogCursor[]> {
    const options = { path: this.#path, log: this.#log, parse: parseLogCursors }
    const cursors = (await readJsonState(options)) ?? []
    this.#saved = positionsOf(cursors)
    return cursors
  }

  /** Saves when a cursor moved and the last save, or try, is long enough ago. Throws the file system's error. */
  async saveIfDue(cursors: readonly LogCursor[]): Promise<void> {
    if (monotonicMs() - this.#savedAtMs < saveEveryMs) return
    await this.save(cursors)
  }

  /** Saves when a cursor moved. Throws the file system's error. */
  async save(cursors: readonly LogCursor[]): Promise<void> {
    const positions = positionsOf(cursors)
    if (positions === this.#saved) return
    this.#savedAtMs = monotonicMs()
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await chmod(this.#folder, 0o700)
    await writeJsonState(this.#path, { version: 1, cursors })
    this.#saved = positions
  }

  get #path(): string {
    return join(this.#folder, 'cursors.json')
  }
}

/** Without sizes: while nothing can be sent, a growing file is no reason to write. */
function positionsOf(cursors: readonly LogCursor[]): string {
  return JSON.stringify(
    cursors.map(({ path, fileId, headSha256, positionBytes }) => [path, fileId, headSha256, positionBytes]),
  )
}
