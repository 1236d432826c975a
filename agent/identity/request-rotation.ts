import { AgentError } from '../lib/errors.ts'
import { backoffMs, type Backoff } from '../lib/backoff.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { sleep } from '../lib/sleep.ts'
import { hadNoEffect, isTokenRefused, type FleetProvisioning } from './fleet-provisioning.ts'
import type { IdentityStore } from './identity-store.ts'
import type { LeftOverCertificates } from './left-over-certificates.ts'
import { orphanOf, type PendingCertificate, type PendingIdentity, type PendingKey } from './pending-identity.ts'
import { rotationStep } from './rotation-step.ts'
import { makePrivateKey, makeSigningRequest } from './signing-request.ts'
import { isPair } from './stored-identity.ts'

export interface RequestRotationOptions {
  readonly store: IdentityStore
  /** Told of a certificate that is given up, before it is. */
  readonly leftOver: Pick<LeftOverCertificates, 'note'>
  /** Over the connection of the appliance, which is connected as its thing. */
  readonly provisioning: Pick<FleetProvisioning, 'createCertificateFromCsr' | 'registerThing'>
  readonly template: string
  readonly thingName: string
  readonly log: Log
  /** Gets what the last try failed of; undefined once one went well. */
  readonly onTried?: (error: unknown) => void
  /** Less in tests. */
  readonly backoff?: Backoff
}

const defaultBackoff: Backoff = { baseMs: 2_000, capMs: 60_000, floorMs: 1_000 }
/** Of a token that is refused before RegisterThing was ever asked. */
const maxAnew = 3

/**
 * Gets a new certificate for the thing, from wherever the last attempt was cut off. Key, certificate and token are on the
 * disk before they are used. What has no answer, or is throttled, is asked for again for as long as `signal` allows; what AWS
 * IoT refuses is thrown. Resolves with a certificate that is registered, or may be: an answer of RegisterThing that got lost
 * is settled by using the certificate, which the caller does.
 */
export async function requestRotation(
  options: RequestRotationOptions,
  signal: AbortSignal,
): Promise<PendingCertificate> {
  const run = new RequestRun(options, signal)
  for (;;) {
    const registered = await run.step()
    if (registered !== undefined) return registered
  }
}

class RequestRun {
  readonly #options: RequestRotationOptions
  readonly #signal: AbortSignal
  readonly #failureLog: FailureLog
  #failures = 0
  #anew = 0

  constructor(options: RequestRotationOptions, signal: AbortSignal) {
    this.#options = options
    this.#signal = signal
    this.#failureLog = new FailureLog(options.log)
  }

  /** Does what comes next; resolves with the certificate once it is to be tried. */
  async step(): Promise<PendingCertificate | undefined> {
    this.#signal.throwIfAborted()
    const { store, template, thingName } = this.#options
    const pending = await store.pending()
    const wanted = { template, clientId: thingName }
    switch (rotationStep(pending, wanted)) {
      case 'begin-anew':
        await this.#noteOrphan(pending)
        await store.dropPending()
        return undefined
      case 'make-key':
        await store.savePending({ ...wanted, kind: 'rotation', step: 'key', privateKey: await makePrivateKey() })
        return undefined
      case 'get-certificate':
        if (pending?.step === 'key') await this.#patiently(() => this.#getCertificate(pending))
        return undefined
      case 'register':
        if (pending?.step === 'certificate') await this.#patiently(() => this.#register(pending))
        return undefined
      case 'try':
        return pending?.step === 'registered' ? pending : undefined
    }
  }

  /** Such as of another template; what is pending of a claim may be what is in use. */
  async #noteOrphan(pending: PendingIdentity | undefined): Promise<void> {
    const certificateId = pending?.kind === 'rotation' ? orphanOf(pending) : undefined
    if (certificateId !== undefined) await this.#options.leftOver.note({ certificateId, why: 'orphan' })
  }

  async #getCertificate(pending: PendingKey): Promise<void> {
    const { provisioning, store } = this.#options
    const { kind, template, clientId, privateKey } = pending
    const csr = makeSigningRequest(privateKey, clientId)
    const issued = await provisioning.createCertificateFromCsr(csr, this.#signal)
    if (!isPair(issued.certificate, privateKey)) {
      throw new AgentError('the certificate that AWS IoT made is not for the key of this appliance', {
        hint: 'see that nothing between the appliance and AWS IoT replaces what is sent',
      })
    }
    await store.savePending({ kind, template, clientId, privateKey, step: 'certificate', ...issued })
  }

  /** That it is asked for is on the disk before it is: its answer may never arrive. */
  async #register(pending: PendingCertificate): Promise<void> {
    const { provisioning, store, template, thingName } = this.#options
    const registered: PendingCertificate = { ...pending, step: 'registered', thingName }
    if (pending.isAsked !== true) await store.savePending({ ...pending, isAsked: true })
    try {
      const request = { template, token: pending.token, parameters: { ThingName: thingName } }
      const answer = await provisioning.registerThing(request, this.#signal)
      if (answer.thingName !== thingName) throw otherThing(template, answer.thingName)
    } catch (error) {
      if (!isTokenRefused(error)) throw await this.#withoutEffect(pending, error)
      if (pending.isAsked !== true) {
        await this.#beginAnew(error)
        return
      }
      this.#options.log.info('whether the new certificate is registered is not known: it is tried')
    }
    await store.savePending(registered)
  }

  /** What AWS IoT refused had no effect, so that a token which is refused later is not one that was used up. */
  async #withoutEffect(pending: PendingCertificate, error: unknown): Promise<unknown> {
    if (hadNoEffect(error) && pending.isAsked !== true) await this.#options.store.savePending(pending)
    return error
  }

  async #beginAnew(error: unknown): Promise<void> {
    this.#anew += 1
    if (this.#anew > maxAnew) throw error
    await this.#options.store.dropPending()
  }

  async #patiently(ask: () => Promise<void>): Promise<void> {
    try {
      await ask()
      this.#failures = 0
      this.#options.onTried?.(undefined)
    } catch (error) {
      if (!isWorthAnother(error)) throw error
      const waitMs = backoffMs(this.#failures, this.#options.backoff ?? defaultBackoff)
      this.#failures += 1
      this.#options.onTried?.(error)
      this.#failureLog.failed('the certificate cannot be rotated at the moment', error)
      await sleep(waitMs, this.#signal)
    }
  }
}

function isWorthAnother(error: unknown): boolean {
  return error instanceof AgentError && error.retryable
}

function otherThing(template: string, thingName: string): AgentError {
  return new AgentError(`the template ${template} has given the new certificate to ${thingName}`, {
    hint: 'it must take the name of the thing from the parameter ThingName: see config/cloud/provisioning',
  })
}
