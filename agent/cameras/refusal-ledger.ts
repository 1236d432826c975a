import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { makeFolder } from '../lib/durable-files.ts'
import { AgentError } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { OneAtATime } from '../lib/one-at-a-time.ts'
import {
  emptyCamera,
  emptyRecord,
  hostWaitMs,
  momentNow,
  parseRecord,
  pruned,
  recordDocument,
  versionWaitMs,
  withoutRefusal,
  withRefusal,
  type Attempt,
  type CameraRecord,
  type RefusalRecord,
  type SwapVerdict,
} from './refusal-record.ts'

export interface RefusalLedgerOptions {
  /** `<state>/cameras/refusals.json` */
  readonly path: string
  /** Cloud time in milliseconds since 1970. */
  readonly cloudNow: () => number
  readonly log: Log
}

/**
 * What cameras refused, over restarts: no host sees more than two refused attempts in any 30 minutes, and a version
 * that was refused is tried again after 10, 30, 60 and again 60 minutes. When the record cannot be read, every host is
 * taken to have had its two just now; while it cannot be written, there are no attempts.
 */
export class RefusalLedger {
  readonly #options: RefusalLedgerOptions
  readonly #writing = new OneAtATime()
  readonly #failures: FailureLog
  #record: RefusalRecord | undefined

  constructor(options: RefusalLedgerOptions) {
    this.#options = options
    this.#failures = new FailureLog(options.log)
  }

  /** Reads the record, once. Until that can be done, there are no attempts. Never throws. */
  async load(): Promise<void> {
    if (this.#record !== undefined) return
    const { path, log } = this.#options
    try {
      // one that was set aside and has no successor: a crash came before that it was lost could be written down
      const wasThere = (await isThere(path)) || (await isThere(`${path}.unreadable`))
      const read = await readJsonState({ path, log, parse: parseRecord, isVital: () => true })
      const isLost = wasThere && read === undefined
      this.#record = read ?? { ...emptyRecord, lost: isLost ? momentNow(this.#options.cloudNow()) : undefined }
      if (isLost) await this.#persist()
    } catch (error) {
      this.#failures.failed('what cameras refused cannot be looked up, so that none is asked', error)
    }
  }

  /** Forgets all other cameras; their attempts count on. */
  async keep(names: readonly string[]): Promise<void> {
    const record = this.#record
    if (record === undefined || [...record.cameras.keys()].every((name) => names.includes(name))) return
    this.#record = { ...record, cameras: new Map([...record.cameras].filter(([name]) => names.includes(name))) }
    await this.#persist()
  }

  camera(name: string): CameraRecord {
    return this.#record?.cameras.get(name) ?? emptyCamera
  }

  /** How long no camera on that host is asked about anything. */
  hostWaitMs(host: string): number {
    return hostWaitMs(this.#record ?? emptyRecord, host, this.#nowMs())
  }

  /** How long a version is not tried again after it was refused, whatever its host. */
  versionWaitMs(name: string, versionId: string): number {
    return versionWaitMs(this.camera(name).refusals.get(versionId), this.#nowMs())
  }

  /**
   * Takes one of the host's attempts, and resolves once that is on the disk. Undefined: there is none left, or it cannot
   * be recorded.
   */
  async begin(host: string): Promise<Attempt | undefined> {
    await this.load()
    const record = this.#record
    if (record === undefined || this.hostWaitMs(host) > 0) return undefined
    const attempt = { host, moment: momentNow(this.#nowMs()) }
    this.#record = { ...record, attempts: [...record.attempts, attempt] }
    if (await this.#persist()) return attempt
    this.#forget(attempt)
    return undefined
  }

  /** The camera took the version; its attempts, if there were any, do not count. */
  async accepted(name: string, versionId: string, attempts: readonly Attempt[]): Promise<void> {
    for (const attempt of attempts) this.#forget(attempt)
    const camera = this.camera(name)
    const unproven = camera.unproven === versionId ? undefined : camera.unproven
    this.#set(name, { ...withoutRefusal(camera, versionId), unproven })
    const isChanged = attempts.length > 0 || camera.refusals.has(versionId) || unproven !== camera.unproven
    if (isChanged) await this.#persist()
  }

  async refused(name: string, versionId: string): Promise<void> {
    this.#set(name, withRefusal(this.camera(name), versionId, momentNow(this.#nowMs())))
    await this.#persist()
  }

  /** Remembers what came of a round of tries. Undefined: the secret's version is in the file. */
  async conclude(
    name: string,
    { verdict, unproven }: { readonly verdict: SwapVerdict | undefined; readonly unproven: string | undefined },
  ): Promise<void> {
    const camera = this.camera(name)
    if (isSame(camera.verdict, verdict) && camera.unproven === unproven) return
    this.#set(name, { ...camera, verdict, unproven })
    await this.#persist()
  }

  #nowMs(): number {
    return this.#options.cloudNow()
  }

  #set(name: string, camera: CameraRecord): void {
    const record = this.#record ?? emptyRecord
    if (this.#record === undefined) return // what is on the disk counts, once it can be read
    this.#record = { ...record, cameras: new Map([...record.cameras, [name, camera]]) }
  }

  #forget(attempt: Attempt): void {
    const record = this.#record
    if (record !== undefined) {
      this.#record = { ...record, attempts: record.attempts.filter((each) => each !== attempt) }
    }
  }

  /** Answers whether it is on the disk. */
  async #persist(): Promise<boolean> {
    return await this.#writing.run(async () => {
      if (this.#record === undefined) return false
      this.#record = pruned(this.#record, this.#nowMs())
      try {
        await makeFolder(dirname(this.#options.path), 0o700)
        await writeJsonState(this.#options.path, recordDocument(this.#record))
      } catch (error) {
        this.#failures.failed('what cameras refuse cannot be recorded, so that none is asked', error)
        return false
      }
      this.#failures.recovered('what cameras refuse can be recorded again')
      return true
    })
  }
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
      throw new AgentError(`${path} cannot be looked at`, { retryable: true, cause: error })
    },
  )
}

function isSame(one: SwapVerdict | undefined, other: SwapVerdict | undefined): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}
