import { join } from 'node:path'

import { CertificateRotation } from '../../identity/certificate-rotation.ts'
import { openIdentityStore, type IdentityStore } from '../../identity/identity-store.ts'
import { LeftOverCertificates } from '../../identity/left-over-certificates.ts'
import type { Log } from '../../lib/log.ts'

export interface IdentityParts {
  readonly store: IdentityStore
  readonly rotation: CertificateRotation
  readonly leftOver: LeftOverCertificates
}

/** What one run of the agent has of its identity, whatever its sessions are: a start of the process counts once. */
export class Identities {
  readonly #log: Log
  #open: { readonly folder: string; readonly parts: IdentityParts } | undefined

  constructor(log: Log) {
    this.#log = log
  }

  /** To be called once nobody else can work on the state folder, and before the identity is used. */
  async open(stateFolder: string): Promise<IdentityParts> {
    const folder = join(stateFolder, 'identity')
    if (this.#open?.folder === folder) return this.#open.parts
    const log = this.#log
    const now = (): number => Date.now()
    const store = openIdentityStore({ folder, log, now })
    const leftOver = new LeftOverCertificates({ folder, log, now })
    const rotation = new CertificateRotation({ folder, store, leftOver, log, now })
    await rotation.load().catch((error: unknown) => {
      log.error('whether a new certificate is on trial cannot be told', { error })
    })
    this.#open = { folder, parts: { store, rotation, leftOver } }
    return this.#open.parts
  }
}
