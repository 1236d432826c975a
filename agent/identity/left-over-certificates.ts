import { join } from 'node:path'

import * as z from 'zod'

import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import { OneAtATime } from '../lib/one-at-a-time.ts'
import { certificateIdSchema } from './stored-identity.ts'

/** A certificate of this appliance that may still be active in AWS IoT, and that nobody uses. */
export interface LeftOverCertificate {
  readonly certificateId: string
  /** It was in use before the one that is; or it was registered, or may have been, and was given up. */
  readonly why: 'deactivate' | 'orphan'
  /** When it was left, ISO 8601, by the clock of the appliance. */
  readonly at: string
}

export interface LeftOverCertificatesOptions {
  /** `<state>/identity`, which has to be there. */
  readonly folder: string
  readonly log: Log
  /** In milliseconds since 1970. */
  readonly now: () => number
  /** Writes the list durably; the disk, but for tests. */
  readonly write?: (path: string, list: unknown) => Promise<void>
}

/** An appliance whose list nobody looks at must not fill its shadow. */
export const maxLeftOver = 20

const listSchema = z.object({
  version: z.literal(1),
  certificates: z
    .array(
      z.object({ certificateId: certificateIdSchema, why: z.enum(['deactivate', 'orphan']), at: z.iso.datetime() }),
    )
    .max(maxLeftOver),
})

/**
 * `left-over.json`: the certificates that somebody has to deactivate, oldest first. The appliance may not do that itself, nor
 * ask AWS IoT whether it was done: an entry goes when it is told so, or when there are too many. Each change is durable once
 * it resolves; one that cannot be made throws a retryable AgentError and may be repeated.
 */
export class LeftOverCertificates {
  readonly #options: LeftOverCertificatesOptions
  readonly #turns = new OneAtATime()
  #certificates: readonly LeftOverCertificate[] | undefined

  constructor(options: LeftOverCertificatesOptions) {
    this.#options = options
  }

  /** Empty as long as it was not read. */
  get certificates(): readonly LeftOverCertificate[] {
    return this.#certificates ?? []
  }

  /** Resolves with whether there was a list already. */
  async load(): Promise<boolean> {
    return await this.#turns.run(async () => await this.#load())
  }

  /** Adds a certificate, where it is not listed yet. `kept` is the one that stays in use, and so comes off the list. */
  async note({ certificateId, why }: Omit<LeftOverCertificate, 'at'>, kept?: string): Promise<void> {
    await this.#turns.run(async () => {
      await this.#load()
      const listed = this.certificates.filter((each) => each.certificateId !== kept)
      const isKnown = listed.some((each) => each.certificateId === certificateId)
      if (isKnown && listed.length === this.certificates.length) return
      const at = new Date(this.#options.now()).toISOString()
      await this.#save(this.#withinBound(isKnown ? listed : [...listed, { certificateId, why, at }]))
    })
  }

  /** Takes certificates off the list; resolves with those that were on it. */
  async forget(certificateIds: readonly string[]): Promise<readonly string[]> {
    return await this.#turns.run(async () => {
      await this.#load()
      const gone = this.certificates.filter(({ certificateId }) => certificateIds.includes(certificateId))
      if (gone.length > 0) await this.#save(this.certificates.filter((each) => !gone.includes(each)))
      return gone.map(({ certificateId }) => certificateId)
    })
  }

  async #load(): Promise<boolean> {
    if (this.#certificates !== undefined) return true
    const { log } = this.#options
    const isVital = (): boolean => true // what cannot be read at the moment is not damaged
    const read = await readJsonState({ path: this.#path, log, parse: (json) => listSchema.parse(json), isVital })
    this.#certificates = read?.certificates ?? []
    return read !== undefined
  }

  #withinBound(listed: readonly LeftOverCertificate[]): readonly LeftOverCertificate[] {
    const dropped = listed.slice(0, Math.max(0, listed.length - maxLeftOver))
    for (const { certificateId, why } of dropped) {
      this.#options.log.error('a certificate that is to be deactivated is not listed any more: the list is full', {
        certificateId,
        why,
      })
    }
    return listed.slice(dropped.length)
  }

  async #save(certificates: readonly LeftOverCertificate[]): Promise<void> {
    await (this.#options.write ?? writeJsonState)(this.#path, { version: 1, certificates })
    this.#certificates = certificates
  }

  get #path(): string {
    return join(this.#options.folder, 'left-over.json')
  }
}
