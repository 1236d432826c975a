import { join } from 'node:path'

import { untilAborted } from '../lib/abort.ts'
import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { OneAtATime } from '../lib/one-at-a-time.ts'
import type { IdentityStore } from './identity-store.ts'
import type { LeftOverCertificates } from './left-over-certificates.ts'
import { orphanOf, type PendingCertificate } from './pending-identity.ts'
import { isOver, parseRotationRecord, type RotationOutcome, type RotationRecord } from './rotation-record.ts'
import { listLeftOver } from './rotation-left-over.ts'
import { adoptHeld, isInUse, trialOfStore } from './stored-trial.ts'

export interface CertificateRotationOptions {
  /** `<state>/identity`. */
  readonly folder: string
  readonly store: IdentityStore
  /** Of the same folder. */
  readonly leftOver: Pick<LeftOverCertificates, 'load' | 'note'>
  readonly log: Log
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** Writes the record durably; the disk, but for tests. */
  readonly write?: (path: string, record: RotationRecord) => Promise<void>
}

export interface RotationBegin {
  /** Of whoever asks: the same one goes on with what it began. */
  readonly id: string
  readonly thingName: string
  /** In use now. */
  readonly certificateId: string
  /** How long the trial may take; see `trial`. */
  readonly confirmSeconds: number
  /**
   * Gets the new certificate; what it throws that is not worth another attempt ends the rotation. Tells what each try
   * failed of, and undefined where it went well.
   */
  readonly request: (signal: AbortSignal, onTried: (error: unknown) => void) => Promise<PendingCertificate>
}

const maxStarts = 3
const maxReason = 1_024
const unused = 'the new certificate could not be put to use'

/**
 * The rotation of the device certificate: at most one is under way. Everything is on the disk before it is done, so that a
 * power cut ends in the old or the new identity, and whoever asked learns which. A new identity is on trial until it is
 * accepted or given up; the old one stays usable until then.
 */
export class CertificateRotation {
  readonly #options: CertificateRotationOptions
  readonly #turns = new OneAtATime()
  readonly #waiting = new Set<() => void>()
  #record: RotationRecord | undefined
  #trouble: ErrorReport | undefined
  /** On the disk already, while not all that follows from it is done: nothing else may be decided then. */
  #decided: RotationOutcome | undefined
  #isLoaded = false

  constructor(options: CertificateRotationOptions) {
    this.#options = options
  }

  /**
   * To be called at the start, before the identity is used: finishes what a crash has left unfinished. Throws a retryable
   * AgentError when that cannot be done now, and may then be called again. Once it has resolved, it does nothing.
   */
  async load(): Promise<void> {
    await this.#turns.run(async () => {
      if (!this.#isLoaded) await this.#load()
    })
  }

  /** Before that, whether the identity in use is on trial is not known. */
  get isLoaded(): boolean {
    return this.#isLoaded
  }

  /** The last one, under way or over. */
  get record(): RotationRecord | undefined {
    return this.#record
  }

  /** Why the one under way does not get on, by its last try. */
  get trouble(): ErrorReport | undefined {
    return this.#record?.state === 'under-way' ? this.#trouble : undefined
  }

  /** The trial that the identity in use is on. AWS IoT may take minutes to know a new certificate everywhere. */
  trial(): { readonly withinMs: number } | undefined {
    const record = this.#record
    return record?.state === 'trial' ? { withinMs: record.confirmSeconds * 1_000 } : undefined
  }

  /**
   * Gets a new certificate and puts it on trial, or finds that done: resolves with whether it is another session's to use it
   * from now on. Where one of another id is on trial, an AgentError says so. On abort the signal's reason is thrown, and
   * the same id can go on.
   */
  async begin(begin: RotationBegin, signal: AbortSignal): Promise<boolean> {
    const { promise: isTurn, resolve } = Promise.withResolvers<undefined>()
    const begun = this.#turns.run(async () => {
      resolve(undefined)
      signal.throwIfAborted()
      return await this.#begin(begin, signal)
    })
    begun.catch(() => undefined) // also where nobody waits for it any more
    await untilAborted(isTurn, signal) // another one may take as long as a job may
    return await begun
  }

  /** The outcome of the rotation of this id, once it is durable; undefined where the last one is of another id. */
  async settled(id: string, signal: AbortSignal): Promise<RotationOutcome | undefined> {
    for (;;) {
      const record = this.#record
      if (record?.id !== id) return undefined
      if (isOver(record)) return record
      const { promise, resolve } = Promise.withResolvers<undefined>()
      const wake = (): void => {
        resolve(undefined)
      }
      this.#waiting.add(wake)
      try {
        await untilAborted(promise, signal)
      } finally {
        this.#waiting.delete(wake)
      }
    }
  }

  /**
   * Whether what the identity in use shows counts for the trial: it must be the one on trial. One that could not be put to use, as on
   * a full disk, is so now, or is given up; another session has to follow then. May be repeated where it throws.
   */
  async isInUse(): Promise<boolean> {
    const { store } = this.#options
    const record = this.#record
    if (record?.state !== 'trial' || (await isInUse(store, record))) return true
    await this.#turns.run(async () => {
      if (this.#decided !== undefined) await this.#carryOut(this.#decided)
      const late = this.#record
      if (late?.state !== 'trial' || (await isInUse(store, late)) || (await adoptHeld(store, late))) return
      await this.#fail(late, unused)
    })
    return false
  }

  /** The new identity is proven: the old one is removed. Without a trial nothing happens. May be repeated where it throws. */
  async accept(): Promise<void> {
    await this.#turns.run(async () => {
      if (this.#decided !== undefined) await this.#carryOut(this.#decided)
      const record = this.#record
      if (record?.state !== 'trial') return
      if (!(await isInUse(this.#options.store, record))) {
        await this.#fail(record, unused) // its key would go with the trial, and the one in use be listed
        return
      }
      const { id, previousCertificateId, certificateId, confirmSeconds } = record
      const base = { version: 1, id, at: this.#at(), previousCertificateId, confirmSeconds } as const
      await this.#decide({ ...base, certificateId, state: 'rotated' })
    })
  }

  /**
   * Gives up what is under way or on trial; resolves with whether the next session is to use the identity before. With an id,
   * only a rotation of that id. Nothing happens where it is accepted already. May be repeated where it throws.
   */
  async giveUp(reason: string, id?: string): Promise<boolean> {
    if (!this.#isOpen(id)) return false // that of another id may take long
    return await this.#turns.run(async () => {
      const record = this.#record
      if (record === undefined || !this.#isOpen(id)) return false
      if (this.#decided === undefined) await this.#fail(record, reason)
      else await this.#carryOut(this.#decided)
      return record.state === 'trial' && this.#record?.state === 'failed'
    })
  }

  #isOpen(id: string | undefined): boolean {
    const record = this.#record
    return record !== undefined && !isOver(record) && (id === undefined || record.id === id)
  }

  async #load(): Promise<void> {
    const { log } = this.#options
    const read = await readJsonState({ path: this.#path, log, parse: parseRotationRecord, isVital: () => true })
    const record = read ?? (await trialOfStore(this.#options.store, this.#at()))
    this.#record = record
    // an earlier version of the agent kept no list
    const hasList = await this.#options.leftOver.load()
    if (!hasList && record !== undefined && isOver(record)) await listLeftOver(this.#options.leftOver, record)
    if (record?.state === 'trial') await this.#resumeTrial(record)
    else if (record !== undefined && isOver(record)) await this.#finish(record)
    this.#isLoaded = true
  }

  async #begin(begin: RotationBegin, signal: AbortSignal): Promise<boolean> {
    if (!this.#isLoaded) await this.#load()
    if (this.#decided !== undefined) await this.#carryOut(this.#decided)
    const { store } = this.#options
    const known = this.#record
    if (known?.id === begin.id && isOver(known)) return false
    if (known?.state === 'trial') {
      if (await isInUse(store, known)) {
        if (known.id === begin.id) return false
        throw new AgentError('another rotation is on trial', { retryable: true })
      }
      if (known.id === begin.id && (await adoptHeld(store, known))) return true
      await this.#fail(known, unused)
      if (known.id === begin.id) return false
    }
    const { id, certificateId: previousCertificateId, confirmSeconds } = begin
    const base = { version: 1, id, at: this.#at(), previousCertificateId, confirmSeconds } as const
    this.#trouble = undefined
    await this.#save({ ...base, state: 'under-way' })
    const pending = await this.#requested(begin, signal)
    await this.#save({ ...base, state: 'trial', certificateId: pending.certificateId, starts: 0 })
    await store.adopt({ ...pending, kind: 'rotation' }, begin.thingName)
    return true
  }

  async #requested({ request }: RotationBegin, signal: AbortSignal): Promise<PendingCertificate> {
    try {
      return await request(signal, (error) => {
        this.#trouble = error === undefined ? undefined : reportError(error)
      })
    } catch (error) {
      const record = this.#record
      if (record !== undefined && error instanceof AgentError && !error.retryable) {
        await this.#fail(record, error.hint === undefined ? error.message : `${error.message} (${error.hint})`)
      }
      throw error
    }
  }

  /** The adoption may not have been reached; it may be repeated. */
  async #resumeTrial(record: Extract<RotationRecord, { state: 'trial' }>): Promise<void> {
    const { store, log } = this.#options
    const starts = record.starts + 1
    if (starts > maxStarts) {
      await this.#fail(record, `the process ended ${maxStarts} times while the new certificate was on trial`)
      return
    }
    await this.#save({ ...record, starts })
    if (await adoptHeld(store, record)) return
    if (await isInUse(store, record)) return
    log.error('the new certificate is not there any more', { certificateId: record.certificateId })
    await this.#fail(record, 'the new certificate was lost before it was used')
  }

  async #fail(record: RotationRecord, reason: string): Promise<void> {
    const { id, previousCertificateId, confirmSeconds } = record
    const orphanCertificateId = await this.#orphan(record)
    const base = { version: 1, id, at: this.#at(), previousCertificateId, confirmSeconds } as const
    await this.#decide({ ...base, state: 'failed', reason: reason.slice(0, maxReason), orphanCertificateId })
  }

  /** Once it is on the disk, it stands, whatever becomes of the rest: a power cut would end in it, too. */
  async #decide(outcome: RotationOutcome): Promise<void> {
    await listLeftOver(this.#options.leftOver, outcome) // before it is recorded: what is recorded is not listed again
    await this.#write(outcome)
    this.#decided = outcome
    await this.#carryOut(outcome)
  }

  async #carryOut(outcome: RotationOutcome): Promise<void> {
    await this.#finish(outcome)
    this.#decided = undefined
    this.#record = outcome
    for (const wake of this.#waiting) wake()
  }

  /** One that RegisterThing was asked for; any other is deleted by AWS IoT after an hour. */
  async #orphan(record: RotationRecord): Promise<string | undefined> {
    if (record.state === 'trial') return record.certificateId
    const pending = await this.#options.store.pending()
    return pending?.kind === 'rotation' ? orphanOf(pending) : undefined
  }

  async #finish({ state }: RotationOutcome): Promise<void> {
    const { store } = this.#options
    const pending = await store.pending()
    const isOnTrial = (await store.previous()) !== undefined
    if (pending?.kind === 'claim' && !isOnTrial) return
    if (pending !== undefined || isOnTrial) await store.settle(state === 'rotated' ? 'new' : 'previous')
    await store.dropPending() // also where a key alone is left of it
  }

  async #save(record: RotationRecord): Promise<void> {
    await this.#write(record)
    this.#record = record
  }

  async #write(record: RotationRecord): Promise<void> {
    await (this.#options.write ?? writeJsonState)(this.#path, record)
  }

  get #path(): string {
    return join(this.#options.folder, 'rotation.json')
  }

  #at(): string {
    return new Date(this.#options.now()).toISOString()
  }
}
