import { AgentError, reportError } from '../lib/errors.ts'
import type { CameraProbe, ProbeOutcome } from './camera-probe.ts'
import { hasSameLogin, saysTheSame, type Credential, type PassOutcomes } from './pass-outcomes.ts'
import type { RefusalLedger } from './refusal-ledger.ts'
import type { Attempt, SwapVerdict } from './refusal-record.ts'
import { parseCameraSecret } from './secret-document.ts'
import type { SecretReader } from './secret-reader.ts'
import { cameraHost } from './stream-url.ts'
import { nextStep, type Held, type KeepReason, type SwapFacts, type SwapStep, type Tried } from './swap-decision.ts'
import { unprovenText, verdictOf, type Details } from './swap-report.ts'

export interface CredentialSwapDeps {
  readonly probe: CameraProbe
  readonly ledger: RefusalLedger
  readonly reader: Pick<SecretReader, 'previous'>
}

/** A camera whose secret was read. */
export interface SwapSubject {
  readonly camera: string
  readonly secretId: string
  readonly probe: boolean
  readonly whenUnreachable: 'wait' | 'swap'
  readonly ca: string | undefined
  /** What the secret's AWSCURRENT says. */
  readonly current: Credential
  /** What the camera's file says, if there is one. */
  readonly held: Credential | undefined
}

/** Where asking a camera happens. */
export interface SwapPass {
  readonly outcomes: PassOutcomes
  readonly signal: AbortSignal
  /** Called after each request, which has a deadline of its own. */
  readonly beat: () => void
}

export interface SwapResult {
  /** What belongs into the file; undefined: what is there, or nothing. */
  readonly use: Credential | undefined
  readonly state: 'ok' | 'pending' | 'unproven' | 'failing'
  /** For people, unless all is well. */
  readonly text: string | undefined
  /** How long it makes no sense to look at the camera again before its secret changes. */
  readonly waitMs: number | undefined
}

const maxSteps = 8

/** Finds out which credential belongs into a camera's file, as `nextStep` has it, with the camera's patience in mind. */
export class CredentialSwap {
  readonly #deps: CredentialSwapDeps

  constructor(deps: CredentialSwapDeps) {
    this.#deps = deps
  }

  /** Whether that takes asking the camera, or anybody. */
  mustAsk(subject: SwapSubject): boolean {
    const step = nextStep(this.#firstFacts(subject))
    return step.do === 'probe' || step.do === 'read-previous'
  }

  /** How often the camera refused what the secret says. */
  refusals({ camera, current }: SwapSubject): number {
    return this.#deps.ledger.camera(camera).refusals.get(current.versionId)?.count ?? 0
  }

  /**
   * What comes of it is remembered durably before this resolves. Throws an AgentError where the camera cannot be asked
   * at all, such as for want of its CA file; rejects with the signal's reason on abort.
   */
  async decide(subject: SwapSubject, pass: SwapPass): Promise<SwapResult> {
    const details = new Map<'current' | 'held' | 'previous', string>()
    let facts = this.#firstFacts(subject)
    let previous: Credential | undefined
    for (let steps = 0; steps < maxSteps; steps += 1) {
      const step = nextStep(facts)
      const round = { subject, facts, details, previous }
      if (step.do === 'swap') return await this.#swap(step, round)
      if (step.do === 'keep') return await this.#keep(step.because, round)
      if (step.do === 'read-previous') {
        const read = await this.#readPrevious(subject, pass)
        previous = read.credential
        if (read.detail !== undefined) details.set('previous', read.detail)
        facts = { ...facts, previous: read.kind, ...(read.tried === undefined ? {} : { previousTried: read.tried }) }
        continue
      }
      const credential = { current: subject.current, held: subject.held, previous }[step.what]
      if (credential === undefined) break
      const { tried, detail } = await this.#try(subject, credential, pass)
      if (detail !== undefined) details.set(step.what, detail)
      facts = withTried(facts, step.what, tried)
    }
    throw new AgentError('the credential cannot be decided about')
  }

  #firstFacts(subject: SwapSubject): SwapFacts {
    const { ledger } = this.#deps
    const { camera, current, whenUnreachable } = subject
    const { unproven, verdict, refusals } = ledger.camera(camera)
    const host = cameraHost(current.streamUrl)
    const facts = {
      isProbed: subject.probe && host !== undefined,
      whenUnreachable,
      held: this.#held(subject, unproven),
      wasRefused: refusals.has(current.versionId),
    }
    if (host === undefined) return facts
    const isAlone = ledger.hostWaitMs(host) > 0
    const goesOnWith = verdict?.versionId === current.versionId ? goesOn(verdict, subject.held) : undefined
    if (goesOnWith !== undefined) {
      if (isAlone) return { ...facts, current: 'not-due' }
      return { ...facts, current: 'refused', ...(goesOnWith === 'previous' ? { heldTried: 'refused' } : {}) }
    }
    if (ledger.versionWaitMs(camera, current.versionId) > 0) return { ...facts, current: 'not-due' }
    return isAlone ? { ...facts, current: this.#wasRefused(subject) ? 'not-due' : 'withheld' } : facts
  }

  #held({ camera, current, held }: SwapSubject, unproven: string | undefined): Held {
    if (held === undefined) return 'none'
    const isProven = held.versionId !== unproven
    if (held.versionId === current.versionId) return isProven ? 'current' : 'current-unproven'
    const wasRefused = this.#deps.ledger.camera(camera).refusals.has(held.versionId)
    if (saysTheSame(held, current) && isProven && !wasRefused) return 'same-credential'
    const host = cameraHost(current.streamUrl)
    return host !== undefined && cameraHost(held.streamUrl) === host ? 'same-host' : 'other-host'
  }

  /** A camera without a file is not given one unseen either, once it has refused some version: this may say the same. */
  #wasRefused({ camera, current, held }: SwapSubject): boolean {
    const { refusals } = this.#deps.ledger.camera(camera)
    return held === undefined ? refusals.size > 0 : refusals.has(current.versionId)
  }

  async #try(
    { camera, ca }: SwapSubject,
    credential: Credential,
    { outcomes, signal, beat }: SwapPass,
  ): Promise<{ tried: Tried; detail: string | undefined }> {
    const { ledger } = this.#deps
    const { versionId, ...login } = credential
    if (ledger.versionWaitMs(camera, versionId) > 0) return { tried: 'refused', detail: undefined }
    const known = outcomes.find(credential)
    const { outcome, attempts, isWithheld } =
      known === undefined
        ? await this.#ask({ ...login, ca }, signal)
        : { outcome: known, attempts: [], isWithheld: false }
    beat()
    if (isWithheld) return { tried: 'withheld', detail: undefined }
    outcomes.add(credential, outcome)
    if (outcome.kind === 'accepted') {
      await ledger.accepted(camera, versionId, attempts)
      return { tried: 'accepted', detail: undefined }
    }
    if (outcome.kind === 'refused') await ledger.refused(camera, versionId)
    return { tried: outcome.kind, detail: outcome.detail }
  }

  async #ask(target: Parameters<CameraProbe>[0], signal: AbortSignal): Promise<Asked> {
    const { ledger, probe } = this.#deps
    const attempts: Attempt[] = []
    let isWithheld = false
    const beforeAttempt = async (): Promise<boolean> => {
      const attempt = await ledger.begin(cameraHost(target.streamUrl) ?? '')
      isWithheld = attempt === undefined
      if (attempt !== undefined) attempts.push(attempt)
      return attempt !== undefined
    }
    const outcome = await probe(target, { beforeAttempt }, signal)
    return { outcome, attempts, isWithheld }
  }

  /** AWSPREVIOUS, if it is another credential than the two and a camera can be asked about it. */
  async #readPrevious({ camera, secretId, current, held }: SwapSubject, { signal, beat }: SwapPass): Promise<Previous> {
    try {
      const version = await this.#deps.reader.previous(secretId, signal)
      beat()
      if (version === undefined) return { kind: 'none' }
      const credential = { ...parseCameraSecret(version.text, secretId), versionId: version.versionId }
      if (cameraHost(credential.streamUrl) === undefined) return { kind: 'none' }
      const isKnown = [current, held].some((other) => other !== undefined && hasSameLogin(credential, other))
      if (isKnown) return { kind: 'same' }
      const isDue = this.#deps.ledger.versionWaitMs(camera, version.versionId) === 0
      return { kind: 'other', credential, ...(isDue ? {} : { tried: 'refused' }) }
    } catch (error) {
      signal.throwIfAborted()
      return { kind: 'unreadable', detail: reportError(error).message }
    }
  }

  async #swap({ to, because }: Extract<SwapStep, { do: 'swap' }>, round: Round): Promise<SwapResult> {
    const { subject, previous } = round
    const { camera, current } = subject
    const isProven = because !== 'unreachable' && because !== 'untold'
    const verdict = to === 'previous' ? this.#previousVerdict(round) : undefined
    await this.#deps.ledger.conclude(camera, { verdict, unproven: isProven ? undefined : current.versionId })
    const use = to === 'previous' ? previous : current
    if (verdict !== undefined) return { use, ...this.#waiting(subject, verdict) }
    return { use, ...(isProven ? allWell : this.#unproven(round)) }
  }

  #previousVerdict(round: Round): SwapVerdict | undefined {
    const verdict = verdictOf(round.subject.current.versionId, 'previous-accepted', round)
    return verdict === undefined ? undefined : { ...verdict, uses: round.previous?.versionId }
  }

  async #keep(because: KeepReason, round: Round): Promise<SwapResult> {
    const { ledger } = this.#deps
    const { subject } = round
    const { camera, held } = subject
    const before = ledger.camera(camera)
    if (because === 'not-due') return { use: undefined, ...this.#waiting(subject, before.verdict) }
    const verdict = this.#keptVerdict(because, round)
    const isUnproven = because !== 'proven' && held !== undefined && held.versionId === before.unproven
    await ledger.conclude(camera, { verdict, unproven: isUnproven ? before.unproven : undefined })
    if (verdict !== undefined) return { use: undefined, ...this.#waiting(subject, verdict) }
    return { use: undefined, ...(because === 'unproven' ? this.#unproven(round) : allWell) }
  }

  /** An AWSPREVIOUS that can never be read must not keep the secret's version from its own next try. */
  #keptVerdict(because: KeepReason, round: Round): SwapVerdict | undefined {
    const { camera, current } = round.subject
    const verdict = verdictOf(current.versionId, because, round)
    const isDue = this.#deps.ledger.versionWaitMs(camera, current.versionId) === 0
    return verdict !== undefined && round.facts.previous === 'unreadable' && isDue
      ? { ...verdict, goesOnWith: undefined }
      : verdict
  }

  #waiting(subject: SwapSubject, verdict: SwapVerdict | undefined): Waiting {
    const { camera, current, held } = subject
    const { ledger } = this.#deps
    const host = cameraHost(current.streamUrl) ?? ''
    const hostMs = ledger.hostWaitMs(host)
    const versionMs = verdict?.goesOnWith === undefined ? ledger.versionWaitMs(camera, current.versionId) : 0
    const waitMs = Math.max(hostMs, versionMs)
    const { state, text }: Pick<SwapVerdict, 'state' | 'text'> =
      verdict?.versionId === current.versionId
        ? verdict
        : { state: held === undefined ? 'failing' : 'pending', text: refusedBefore }
    return { state, text, waitMs: waitMs > 0 ? waitMs : undefined }
  }

  #unproven({ subject, facts, details }: Round): Waiting {
    const waitMs = this.#deps.ledger.hostWaitMs(cameraHost(subject.current.streamUrl) ?? '')
    const why = facts.current === 'withheld' ? leftAlone : details.get('current')
    return { state: 'unproven', text: unprovenText(why), waitMs: waitMs > 0 ? waitMs : undefined }
  }
}

type Waiting = Omit<SwapResult, 'use'>

interface Round {
  readonly subject: SwapSubject
  readonly facts: SwapFacts
  readonly details: Details
  readonly previous: Credential | undefined
}

interface Asked {
  readonly outcome: ProbeOutcome
  readonly attempts: readonly Attempt[]
  readonly isWithheld: boolean
}

interface Previous {
  readonly kind: NonNullable<SwapFacts['previous']>
  readonly credential?: Credential
  readonly tried?: 'refused'
  readonly detail?: string
}

const allWell: Waiting = { state: 'ok', text: undefined, waitMs: undefined }
const refusedBefore = 'rotation pending on camera: it refused the new credential before'
const leftAlone = 'its host is left alone for a while'

/** What was to be written may not have been: a crash or a full disk came in between. */
function goesOn({ uses, goesOnWith }: SwapVerdict, held: Credential | undefined): SwapVerdict['goesOnWith'] {
  return uses !== undefined && held?.versionId !== uses ? 'previous' : goesOnWith
}

function withTried(facts: SwapFacts, what: 'current' | 'held' | 'previous', tried: Tried): SwapFacts {
  switch (what) {
    case 'current':
      return { ...facts, current: tried }
    case 'held':
      return { ...facts, heldTried: tried }
    case 'previous':
      return { ...facts, previousTried: tried }
  }
}
