import { renameSync, writeFileSync } from 'node:fs'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { WriteError } from '../lib/atomic-file.ts'
import { errorCode } from '../lib/errors.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { maxHeadBytes } from './files/file-identity.ts'
import { withoutUndefined } from './delivery/gap-record.ts'
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
  /** When the file was made and last written to, by its file system, in milliseconds since 1970. */
  bornMs: z.int().optional(),
  modifiedMs: z.int().optional(),
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
  .transform(({ cursors }) => ({ revision: 0, files: cursors, journal: undefined, gaps: [] }))
const secondSchema = z
  .strictObject({
    version: z.literal(2),
    /** Higher in what was written later, whichever of the two files it is in. */
    revision: z.int().min(0).default(0),
    files: z.array(cursorSchema),
    journal: z.unknown().optional(),
    gaps: z.array(gapSchema),
  })
  .transform(({ revision, files, journal, gaps }) => ({
    revision,
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

interface SavedState extends LogState {
  readonly revision: number
}

/** A parsed state file, of this version or the one before. Throws a ZodError when it is not one. */
export function parseLogState(json: unknown): SavedState {
  return stateSchema.parse(json)
}

const saveEveryMs = 5_000
const patienceMs = 60_000
/** They say nothing about the file: it may be whole and is read once they are over. */
const passingCodes: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EIO'])
const nothing: SavedState = { revision: 0, files: [], journal: undefined, gaps: [] }

export interface LogStateFileOptions {
  /** Of `cursors.json`, on the disk; made with mode 0700 when it is not there. */
  readonly folder: string
  /** A file in a folder that is there, in memory (tmpfs). */
  readonly copyPath: string
  readonly log: Log
}

/**
 * Positions and gap records in one write, so that neither is there without the other. The file `cursors.json` is
 * written at most every 5 s and only when something moved, to spare the flash. A copy in memory follows each batch
 * that is accepted, so that a crash of the process, which leaves it there, has less than a batch sent again; the one of
 * the two that was written later counts.
 */
export class LogStateFile {
  readonly #options: LogStateFileOptions
  #loaded: LogState | undefined
  #revision = 0
  #firstTryMs: number | undefined
  #saved = ''
  #savedAtMs = -Infinity
  #copyError: unknown

  constructor(options: LogStateFileOptions) {
    this.#options = options
  }

  /** What the last copy failed with; undefined after one that did not. */
  get copyError(): unknown {
    return this.#copyError
  }

  /**
   * What was saved, the same at every call; empty when there is no file, or none that can be read. Throws a retryable
   * AgentError while the file system does not answer, as for want of descriptors: for a minute, or as long as it lasts
   * where the file may be good all the while.
   */
  async load(): Promise<LogState> {
    if (this.#loaded !== undefined) return this.#loaded
    this.#firstTryMs ??= monotonicMs()
    const isPatient = monotonicMs() - this.#firstTryMs < patienceMs
    const options = { log: this.#options.log, parse: parseLogState }
    const saved = await readJsonState({
      ...options,
      path: this.#path,
      isVital: (code) => isPatient || code === 'EACCES' || passingCodes.has(code),
    })
    // A copy of another user's is no reason to wait without end: without it a few seconds of events are sent again.
    const copied = await readJsonState({
      ...options,
      path: this.#options.copyPath,
      isVital: (code) => isPatient || passingCodes.has(code),
    })
    return this.#take(saved, copied)
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
    const { folder } = this.#options
    const versioned = this.#versioned(state) // before any copy that is of a later state
    this.#savedAtMs = monotonicMs()
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await chmod(folder, 0o700)
    } catch (error) {
      throw new WriteError(this.#path, errorCode(error) ?? String(error))
    }
    await writeJsonState(this.#path, versioned)
    this.#saved = essence
  }

  /** Has the copy tell of `state`, once `load` succeeded, before anything else happens. Never throws. */
  copy(state: LogState): void {
    if (this.#loaded === undefined) return
    const { copyPath } = this.#options
    const temporary = `${copyPath}.tmp`
    try {
      // Memory is written to in microseconds, and no batch can be accepted meanwhile.
      writeFileSync(temporary, `${JSON.stringify(this.#versioned(state))}\n`, { mode: 0o600 })
      renameSync(temporary, copyPath)
      this.#copyError = undefined
    } catch (error) {
      this.#copyError = error
    }
  }

  /** Another caller may have been first; all get the same. */
  #take(saved: SavedState | undefined, copied: SavedState | undefined): LogState {
    if (this.#loaded !== undefined) return this.#loaded
    const { revision, ...state } = later(saved, copied) ?? nothing
    this.#revision = revision
    this.#saved = essenceOf(saved ?? nothing)
    this.#loaded = state
    return state
  }

  #versioned(state: LogState): object {
    this.#revision += 1
    return { version: 2, revision: this.#revision, ...state }
  }

  get #path(): string {
    return join(this.#options.folder, 'cursors.json')
  }
}

function later(one: SavedState | undefined, other: SavedState | undefined): SavedState | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return other.revision > one.revision ? other : one
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
