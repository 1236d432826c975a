import { AgentError, reportError } from '../lib/errors.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { sleep } from '../lib/sleep.ts'
import { nextTryMs, proveInTime, refusalsBeforeAnother, usualPatience, type Patience } from './claim-proof.ts'
import { hadNoEffect, isTokenRefused, type FleetProvisioning, type IdentityProof } from './fleet-provisioning.ts'
import type { IdentityStore } from './identity-store.ts'
import type { LeftOverCertificates } from './left-over-certificates.ts'
import { orphanOf, type PendingCertificate, type PendingIdentity } from './pending-identity.ts'
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
  /** Told of certificates that are given up, before they are. */
  readonly leftOver: Pick<LeftOverCertificates, 'note' | 'forget'>
  /** Called once the identity is proven, before anybody is told; undefined where the claim stays. */
  readonly deleteClaim?: (() => Promise<void>) | undefined
  readonly log: Log
  /** Less in tests. */
  readonly patience?: Patience
}

export interface ProvisioningPass {
  readonly signal: AbortSignal
  /** Called before each step, and while one takes long. */
  readonly onStep: (step: ProvisioningStep) => void
}

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
      await this.#noteOrphan(pending)
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
    const { kind, template, clientId, privateKey, replaced } = pending
    const connection = await this.#connected(clientId)
    const issued = await connection.createCertificateFromCsr(makeSigningRequest(privateKey, clientId), this.#signal)
    if (!isPair(issued.certificate, privateKey)) {
      throw new AgentError('the certificate that AWS IoT made is not for the key of this appliance', {
        hint: 'see that nothing between the appliance and AWS IoT replaces what is sent',
      })
    }
    const { certificateId, certificate, token } = issued
    const base = { kind, template, clientId, privateKey, replaced }
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
    const { patience = usualPatience } = this.#options
    const endMs = monotonicMs() + patience.withinMs
    for (let tries = 0; ; tries += 1) {
      this.#onStep('settle')
      const attempt = await this.#options.proof.connect(pending, thingName, this.#signal)
      if (attempt.kind === 'connected') return true
      if (monotonicMs() >= endMs) return false
      await sleep(nextTryMs(tries, patience), this.#signal)
    }
  }

  async #prove(pending: PendingCertificate, thingName: string): Promise<void> {
    const { store, proof, deleteClaim, log, leftOver, patience = usualPatience } = this.#options
    await this.#hangUp()
    const onTry = (): void => {
      this.#onStep('prove')
    }
    const outcome = await proveInTime(proof, { pair: pending, thingName, patience, signal: this.#signal, onTry })
    if (outcome.kind === 'unproven') throw unproven(thingName, outcome.error)
    if (outcome.kind === 'refused') {
      await this.#replace(await this.#countRefusal(pending), outcome.error)
      return
    }
    await leftOver.forget([pending.certificateId]) // where it had been given up, and a power cut kept it
    await store.settle('new')
    await deleteClaim?.().catch((error: unknown) => {
      log.error('the claim cannot be deleted', { error })
    })
    await store.dropPending()
  }

  async #countRefusal(pending: PendingCertificate): Promise<PendingCertificate> {
    const counted = { ...pending, refusals: (pending.refusals ?? 0) + 1 }
    await this.#options.store.savePending(counted)
    return counted
  }

  /**
   * A certificate that is deleted in AWS IoT is refused like one under a policy that is wrong. So another one is asked for, but rarely, and
   * only where the claim gets through at that very time: else it may be the way there that is at fault.
   */
  async #replace(pending: PendingCertificate, refusal: unknown): Promise<void> {
    const { store, proof, log } = this.#options
    const { certificateId, refusals = 0, replaced = 0 } = pending
    const thingName = needed(pending.thingName)
    if (refusals < refusalsBeforeAnother(replaced)) throw unproven(thingName, refusal)
    const { template, clientId } = await this.#wantedByClaim(thingName, refusal)
    if ((await proof.connect(pending, thingName, this.#signal)).kind === 'connected') return
    await this.#noteOrphan(pending)
    const privateKey = await makePrivateKey()
    await store.settle('previous')
    await store.savePending({ kind: 'claim', step: 'key', template, clientId, privateKey, replaced: replaced + 1 })
    log.error('AWS IoT refuses the new certificate for good: another one is asked for', {
      error: refusal,
      orphan: certificateId,
      replaced: replaced + 1,
    })
  }

  async #wantedByClaim(thingName: string, refusal: unknown): Promise<WantedIdentity> {
    try {
      const target = await this.#options.target()
      await this.#connected(target.clientId)
      return target
    } catch (error) {
      this.#signal.throwIfAborted()
      const { message } = reportError(error)
      throw unproven(thingName, refusal, `where its certificate is deleted, another one needs the claim: ${message}`)
    }
  }

  async #noteOrphan(pending: PendingIdentity | undefined): Promise<void> {
    const certificateId = orphanOf(pending)
    if (certificateId !== undefined) await this.#options.leftOver.note({ certificateId, why: 'orphan' })
  }

  async #ask(connection: FleetProvisioning, { token }: PendingCertificate, target: ClaimTarget): Promise<string> {
    const { template, parameters } = target
    const { thingName } = await connection.registerThing({ template, token, parameters }, this.#signal)
    return thingName
  }

  async #registered(pending: PendingCertificate, thingName: string): Promise<void> {
    await this.#options.store.savePending({ ...pending, step: 'registered', thingName })
  }

  async #beginAnew(pending: PendingCertificate, error: unknown): Promise<void> {
    // the template may have made another thing of it than the configuration expects
    const orphan = orphanOf(pending)
    await this.#noteOrphan(pending)
    this.#options.log.warn('AWS IoT does not take the ownership token any more: a new certificate is asked for', {
      error,
      ...(orphan === undefined ? {} : { orphan }),
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

function unproven(thingName: string, cause: unknown, hint?: string): AgentError {
  const text = `the new identity of ${thingName} cannot be used`
  return new AgentError(text, { retryable: true, cause, ...(hint === undefined ? {} : { hint }) })
}

function needed<T>(value: T | undefined): T {
  if (value === undefined) throw new AgentError('provisioning has lost track of itself', { retryable: true })
  return value
}
