import { AgentError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import { hadNoEffect, isTokenRefused, type FleetProvisioning, type IdentityProof } from './fleet-provisioning.ts'
import type { IdentityStore } from './identity-store.ts'
import type { PendingCertificate, PendingIdentity } from './pending-identity.ts'
import { nextStep, type ProvisioningStep, type WantedIdentity } from './provisioning-step.ts'
import { makePrivateKey, makeSigningRequest } from './signing-request.ts'
import { isPair, type StoredIdentity } from './stored-identity.ts'

export interface ClaimTarget extends WantedIdentity {
  /** Of the template, the serial number included. */
  readonly parameters: Readonly<Record<string, string>>
  /** What the template is expected to name the thing. */
  readonly expectedThing: string
}

export interface ClaimProvisioningOptions {
  readonly store: IdentityStore
  /** Asked for each time, so that what a person mends is found. Throws an AgentError that says what is missing. */
  readonly target: () => Promise<ClaimTarget>
  /** Connects with the claim. Throws an AgentError that says why not. */
  readonly connect: (clientId: string, signal: AbortSignal) => Promise<FleetProvisioning>
  readonly proof: IdentityProof
  /** Called once the identity is proven, before anybody is told; undefined where the claim stays. */
  readonly deleteClaim?: (() => Promise<void>) | undefined
  readonly log: Log
  /** How long AWS IoT may take to know a new certificate everywhere, and the first wait of the tries; less in tests. */
  readonly patience?: Patience
}

export interface Patience {
  readonly withinMs: number
  readonly everyMs: number
}

export interface ProvisioningPass {
  readonly signal: AbortSignal
  /** Called before each step, and while one takes long. */
  readonly onStep: (step: ProvisioningStep) => void
}

const defaultPatience: Patience = { withinMs: 300_000, everyMs: 1_000 }
/** The wait before each try is twice the one before, up to this many times the first. */
const longestWait = 10
/** No way leads through more, unless something undoes every one of them. */
const maxSteps = 20

/**
 * Gets an identity by claim (AWS IoT Core Developer Guide, "Provisioning by claim"), from wherever the last attempt was cut
 * off. Key, certificate and token are on the disk before they are used. Resolves with an identity that was proven by use;
 * throws an AgentError, and then goes on from there when it is called again.
 */
export async function provisionByClaim(
  options: ClaimProvisioningOptions,
  { signal, onStep }: ProvisioningPass,
): Promise<StoredIdentity> {
  await using run = new ClaimRun(options, signal, onStep)
  for (let steps = 0; steps < maxSteps; steps += 1) {
    const identity = await run.step()
    if (identity !== undefined) return identity
  }
  throw new AgentError('provisioning goes in circles', { retryable: true })
}

class ClaimRun implements AsyncDisposable {
  readonly #options: ClaimProvisioningOptions
  readonly #signal: AbortSignal
  readonly #onStep: ProvisioningPass['onStep']
  #connection: FleetProvisioning | undefined

  constructor(options: ClaimProvisioningOptions, signal: AbortSignal, onStep: ProvisioningPass['onStep']) {
    this.#options = options
    this.#signal = signal
    this.#onStep = onStep
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#hangUp()
  }

  /** Does what comes next; resolves with the identity once there is nothing left to do. */
  async step(): Promise<StoredIdentity | undefined> {
    this.#signal.throwIfAborted()
    const { store } = this.#options
    const pending = await store.pending()
    const current = await store.current()
    // of a registered identity everything is decided, and neither claim nor serial number need be there any more
    const target = pending?.step === 'registered' || current !== undefined ? undefined : await this.#options.target()
    const wanted = target ?? { template: '', clientId: '' }
    const step = nextStep({ pending, currentId: current?.id, wanted })
    this.#onStep(step)
    if (step === 'done') return current
    await this.#act(step, pending, target)
    return undefined
  }

  async #act(
    step: Exclude<ProvisioningStep, 'done'>,
    pending: PendingIdentity | undefined,
    target: ClaimTarget | undefined,
  ): Promise<void> {
    const { store } = this.#options
    if (step === 'begin-anew') {
      await store.dropPending()
      return
    }
    if (step === 'make-key') {
      const { template, clientId } = needed(target)
      await store.savePending({ kind: 'claim', step: 'key', template, clientId, privateKey: await makePrivateKey() })
      return
    }
    if (step === 'get-certificate') {
      await this.#getCertificate(needed(pending))
      return
    }
    const held = needed(pending?.step === 'key' ? undefined : pending)
    switch (step) {
      case 'register':
        await this.#register(held, needed(target))
        return
      case 'settle':
        await this.#settle(held, needed(target))
        return
      case 'adopt':
        await store.adopt({ ...held, kind: 'claim' }, needed(held.thingName))
        return
      case 'prove':
        await this.#prove(held, needed(held.thingName))
    }
  }

  async #getCertificate(pending: PendingIdentity): Promise<void> {
    const { kind, template, clientId, privateKey } = pending
    const connection = await this.#connected(clientId)
    const issued = await connection.createCertificateFromCsr(makeSigningRequest(privateKey, clientId), this.#signal)
    if (!isPair(issued.certificate, privateKey)) {
      throw new AgentError('the certificate that AWS IoT made is not for the key of this appliance', {
        hint: 'see that nothing between the appliance and AWS IoT replaces what is sent',
      })
    }
    const { certificateId, certificate, token } = issued
    const base = { kind, template, clientId, privateKey }
    await this.#options.store.savePending({ ...base, step: 'certificate', certificateId, certificate, token })
  }

  /** That it is asked for is on the disk before it is: its answer may never arrive. */
  async #register(pending: PendingCertificate, target: ClaimTarget): Promise<void> {
    const { store } = this.#options
    const connection = await this.#connected(pending.clientId)
    await store.savePending({ ...pending, isAsked: true })
    try {
      await this.#registered(pending, await this.#ask(connection, pending, target))
    } catch (error) {
      if (isTokenRefused(error)) await this.#beginAnew(pending, error)
      else {
        if (hadNoEffect(error)) await store.savePending(pending)
        throw error
      }
    }
  }

  /** The token is used up if RegisterThing took effect; then the certificate works, sooner or later. */
  async #settle(pending: PendingCertificate, target: ClaimTarget): Promise<void> {
    const { expectedThing } = target
    if ((await this.#options.proof.connect(pending, expectedThing, this.#signal)).kind === 'connected') {
      await this.#registered(pending, expectedThing)
      return
    }
    const connection = await this.#connected(pending.clientId)
    try {
      await this.#registered(pending, await this.#ask(connection, pending, target))
    } catch (error) {
      if (!isTokenRefused(error)) throw error
      await this.#hangUp()
      if (await this.#isTakenInTime(pending, expectedThing)) await this.#registered(pending, expectedThing)
      else await this.#beginAnew(pending, error)
    }
  }

  async #isTakenInTime(pending: PendingCertificate, thingName: string): Promise<boolean> {
    const { withinMs, everyMs } = this.#options.patience ?? defaultPatience
    const endMs = monotonicMs() + withinMs
    for (let tries = 0; ; tries += 1) {
      this.#onStep('settle')
      const attempt = await this.#options.proof.connect(pending, thingName, this.#signal)
      if (attempt.kind === 'connected') return true
      if (monotonicMs() >= endMs) return false
      await sleep(everyMs * Math.min(2 ** tries, longestWait), this.#signal)
    }
  }

  async #prove(pending: PendingCertificate, thingName: string): Promise<void> {
    const { store, deleteClaim, log, patience } = this.#options
    await this.#hangUp()
    const { withinMs, everyMs } = patience ?? defaultPatience
    const endMs = monotonicMs() + withinMs
    for (let tries = 0; ; tries += 1) {
      this.#onStep('prove')
      const error = await this.#tryOut(pending, thingName)
      if (error === undefined) break
      if (monotonicMs() >= endMs) throw unproven(thingName, error)
      await sleep(everyMs * Math.min(2 ** tries, longestWait), this.#signal)
    }
    await store.settle('new')
    await deleteClaim?.().catch((error: unknown) => {
      log.error('the claim cannot be deleted', { error })
    })
    await store.dropPending()
  }

  async #tryOut(pending: PendingCertificate, thingName: string): Promise<unknown> {
    const { proof } = this.#options
    try {
      const attempt = await proof.connect(pending, thingName, this.#signal)
      if (attempt.kind === 'refused') return attempt.error
      await proof.getCredentials(pending, thingName, this.#signal)
      return undefined
    } catch (error) {
      this.#signal.throwIfAborted()
      return error
    }
  }

  async #ask(connection: FleetProvisioning, { token }: PendingCertificate, target: ClaimTarget): Promise<string> {
    const { template, parameters } = target
    const { thingName } = await connection.registerThing({ template, token, parameters }, this.#signal)
    return thingName
  }

  async #registered(pending: PendingCertificate, thingName: string): Promise<void> {
    await this.#options.store.savePending({ ...pending, step: 'registered', thingName })
  }

  async #beginAnew({ certificateId, isAsked }: PendingCertificate, error: unknown): Promise<void> {
    // the template may have made another thing of it than the configuration expects
    const orphan = isAsked === true ? { orphan: certificateId } : {}
    this.#options.log.warn('AWS IoT does not take the ownership token any more: a new certificate is asked for', {
      error,
      ...orphan,
    })
    await this.#options.store.dropPending()
  }

  async #connected(clientId: string): Promise<FleetProvisioning> {
    this.#connection ??= await this.#options.connect(clientId, this.#signal)
    return this.#connection
  }

  async #hangUp(): Promise<void> {
    const connection = this.#connection
    this.#connection = undefined
    await connection?.[Symbol.asyncDispose]()
  }
}

function unproven(thingName: string, cause: unknown): AgentError {
  return new AgentError(`the new identity of ${thingName} cannot be used`, { retryable: true, cause })
}

function needed<T>(value: T | undefined): T {
  if (value === undefined) throw new AgentError('provisioning has lost track of itself', { retryable: true })
  return value
}
