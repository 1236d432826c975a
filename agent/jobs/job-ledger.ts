import { join } from 'node:path'

import * as z from 'zod'

import { removeUnfinished } from '../lib/atomic-file.ts'
import { makeFolder } from '../lib/durable-files.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { OneAtATime } from '../lib/one-at-a-time.ts'
import type { ExecutionKey } from './jobs-service.ts'

const outcomeSchema = z.object({
  /** `WITHDRAWN`: the service ended the execution itself, so nothing is left to say. */
  status: z.enum(['SUCCEEDED', 'FAILED', 'REJECTED', 'WITHDRAWN']),
  details: z.record(z.string(), z.string()),
})

const entrySchema = z.object({
  jobId: z.string(),
  executionNumber: z.int(),
  queuedAt: z.number(),
  /** sha256 of the document. */
  digest: z.string(),
  operation: z.string(),
  /** How far the operation is, in its own words: what it needs to know after a crash. */
  step: z.object({ name: z.string(), data: z.record(z.string(), z.union([z.string(), z.number()])) }),
  /** How often it was begun or taken up again. */
  attempts: z.int(),
  outcome: outcomeSchema.optional(),
  /** Whether the service has acknowledged the outcome. */
  reported: z.boolean(),
})

const ledgerSchema = z.object({ version: z.literal(1), entries: z.array(entrySchema) })

export type JobOutcome = Readonly<z.infer<typeof outcomeSchema>>
export type LedgerEntry = Readonly<z.infer<typeof entrySchema>>
export type JobStep = LedgerEntry['step']

export interface JobLedgerOptions {
  /** `<state>/jobs` */
  readonly folder: string
  readonly log: Log
}

/** Far more than AWS IoT has in flight for one thing; ended and reported ones go first, oldest first. */
const maxEntries = 50

/**
 * What this appliance did about each job, on disk before it is done: why a job runs once, whatever is delivered again or
 * cut off. Writes reject when the disk does not take them; nothing is then changed in memory either.
 */
export class JobLedger {
  readonly #path: string
  readonly #folder: string
  readonly #log: Log
  readonly #turns = new OneAtATime()
  #entries: readonly LedgerEntry[] | undefined

  constructor({ folder, log }: JobLedgerOptions) {
    this.#folder = folder
    this.#path = join(folder, 'ledger.json')
    this.#log = log
  }

  async find(key: ExecutionKey): Promise<LedgerEntry | undefined> {
    return (await this.#load()).find((entry) => isSameExecution(entry, key))
  }

  /** Ended and not acknowledged, oldest first. */
  async unreported(): Promise<readonly LedgerEntry[]> {
    return (await this.#load()).filter(({ outcome, reported }) => outcome !== undefined && !reported)
  }

  /** Begun and not ended. */
  async running(): Promise<readonly LedgerEntry[]> {
    return (await this.#load()).filter(({ outcome }) => outcome === undefined)
  }

  /** Adds the entry, or replaces the one of the same execution. What is put last stands, however slow the disk is. */
  async put(entry: LedgerEntry): Promise<void> {
    await this.#turns.run(async () => {
      await this.#put(entry)
    })
  }

  async #put(entry: LedgerEntry): Promise<void> {
    const entries = await this.#load()
    const isThere = entries.some((each) => isSameExecution(each, entry))
    const next = isThere ? entries.map((each) => (isSameExecution(each, entry) ? entry : each)) : [...entries, entry]
    const kept = withinBound(next)
    await makeFolder(this.#folder, 0o700)
    await writeJsonState(this.#path, { version: 1, entries: kept })
    this.#entries = kept
  }

  async #load(): Promise<readonly LedgerEntry[]> {
    const parse = (json: unknown): readonly LedgerEntry[] => ledgerSchema.parse(json).entries
    // without it a job could run twice: while it cannot be read, no job is begun
    const isVital = (): boolean => true
    if (this.#entries !== undefined) return this.#entries
    const entries = (await readJsonState({ path: this.#path, log: this.#log, parse, isVital })) ?? []
    await removeUnfinished(this.#folder)
    this.#entries = entries
    return entries
  }
}

/** Whether it is one and the same execution. */
export function isSameExecution(one: ExecutionKey, other: ExecutionKey): boolean {
  return one.jobId === other.jobId && one.executionNumber === other.executionNumber && one.queuedAt === other.queuedAt
}

function withinBound(entries: readonly LedgerEntry[]): readonly LedgerEntry[] {
  const surplus = entries.length - maxEntries
  if (surplus <= 0) return entries
  const done = entries.filter(({ outcome, reported }) => outcome !== undefined && reported)
  const dropped = new Set(done.slice(0, surplus))
  return entries.filter((entry) => !dropped.has(entry))
}
