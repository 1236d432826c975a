import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { maxHeadBytes } from './file-identity.ts'
import { withoutUndefined } from './gap-record.ts'
import type { GapRecord } from './log-source.ts'

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
})
const gapSchema = z.strictObject({
  target: z.strictObject({ group: z.string().min(1), stream: z.string().min(1) }),
  source: z.string(),
  reason: z.enum(['rotated', 'vacuumed', 'too far behind', 'level', 'dropped', 'refused']),
  bytes: z.number().min(0).optional(),
  lines: z.number().min(0).optional(),
  firstMs: z.number().optional(),
  lastMs: z.number().optional(),
})
const firstSchema = z
  .strictObject({ version: z.literal(1), cursors: z.array(cursorSchema) })
  .transform(({ cursors }) => ({ files: cursors, journal: undefined, gaps: [] }))
const secondSchema = z
  .strictObject({
    version: z.literal(2),
    files: z.array(cursorSchema),
    journal: z.unknown().optional(),
    gaps: z.array(gapSchema),
  })
  .transform(({ files, journal, gaps }) => ({
    files,
    journal,
    gaps: gaps.map(({ target, source, reason, bytes, lines, firstMs, lastMs }) =>
      withoutUndefined({ target, source, reason, bytes, lines, firstMs, lastMs }),
    ),
  }))
const stateSchema = z.union([secondSchema, firstSchema])

export type LogCursor = Readonly<z.infer<typeof cursorSchema>>

/** Where sources go on after a restart. */
export interface LogPositions {
  /** Oldest file of a path first. */
  readonly files: readonly LogCursor[]
  /** The journal's own, in JSON; it alone knows what it means. Undefined when there is none. */
  readonly journal: unknown
}

export interface LogState extends LogPositions {
  /** What is missing before the positions and has not been told yet. */
  readonly gaps: readonly GapRecord[]
}

/** A parsed state file, of this version or the one before. Throws a ZodError when it is not one. */
export function parseLogState(json: unknown): LogState {
  return stateSchema.parse(json)
}

const saveEveryMs = 5_000
const patienceMs = 60_000
const nothing: LogState = { files: [], journal: undefined, gaps: [] }

/**
 * The file `cursors.json`: positions and gap records in one write, so that neither is there without the other. Written
 * at most every 5 s and only when something moved, to spare the flash.
 */
export class LogStateFile {
  readonly #folder: string
  readonly #log: Log
  #loaded: LogState | undefined
  #firstTryMs: number | undefined
  #saved = ''
  #savedAtMs = -Infinity

  constructor(folder: string, log: Log) {
    this.#folder = folder
    this.#log = log
  }

  /**
   * What was saved, the same at every call; empty when there is no file, or none that can be read. Throws a retryable
   * AgentError for a minute while the file system does not answer, as for want of descriptors.
   */
  async load(): Promise<LogState> {
    if (this.#loaded !== undefined) return this.#loaded
    this.#firstTryMs ??= monotonicMs()
    const isVital = monotonicMs() - this.#firstTryMs < patienceMs
    const state = await readJsonState({ path: this.#path, log: this.#log, parse: parseLogState, isVital })
    // Another caller may have been first; all get the same.
    this.#loaded ??= state ?? nothing
    this.#saved = essenceOf(this.#loaded)
    return this.#loaded
  }

  /**
   * Saves when something moved and the last save, or try, is long enough ago; false when it is not. Throws the file
   * system's error.
   */
  async saveIfDue(state: () => LogState): Promise<boolean> {
    if (monotonicMs() - this.#savedAtMs < saveEveryMs) return false
    await this.save(state())
    return true
  }

  /** Saves when something moved and `load` succeeded before. Throws the file system's error. */
  async save(state: LogState): Promise<void> {
    if (this.#loaded === undefined) return
    const essence = essenceOf(state)
    if (essence === this.#saved) return
    this.#savedAtMs = monotonicMs()
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await chmod(this.#folder, 0o700)
    await writeJsonState(this.#path, { version: 2, ...state })
    this.#saved = essence
  }

  get #path(): string {
    return join(this.#folder, 'cursors.json')
  }
}

/** Without sizes: while nothing can be sent, a growing file is no reason to write. */
function essenceOf({ files, journal, gaps }: LogState): string {
  const positions = files.map(({ path, fileId, headSha256, positionBytes }) => [
    path,
    fileId,
    headSha256,
    positionBytes,
  ])
  return JSON.stringify([positions, journal, gaps])
}
