import type { TrialEvidence } from '../configuration/config-trial.ts'
import type { Control } from '../control/control.ts'
import type { CertificateRotation } from '../../identity/certificate-rotation.ts'
import { linkedAbort, withDeadline } from '../../lib/abort.ts'
import { DeadlineError } from '../../lib/errors.ts'
import { FailureLog } from '../../lib/failure-log.ts'
import type { Log } from '../../lib/log.ts'
import { monotonicMs } from '../../lib/monotonic.ts'
import { sleep } from '../../lib/sleep.ts'

/** What shows that an identity can be used. */
export interface IdentityEvidence {
  /** Resolves when credentials are held that this session fetched. */
  credentials(signal: AbortSignal): Promise<void>
  /** Resolves when AWS IoT Core has answered over the connection of this session. */
  connection(signal: AbortSignal): Promise<void>
  /** What keeps them from being had, for people; undefined when nothing is known. */
  why(): string | undefined
}

/** The credentials of a configuration's trial are the session's too. */
export function identityEvidence(
  session: TrialEvidence,
  control: Pick<Control, 'answered'> | undefined,
): IdentityEvidence {
  return {
    credentials: (signal) => session.credentials(signal),
    connection: async (signal) => {
      await (control === undefined ? session.control(signal) : control.answered(signal))
    },
    why: () => session.why?.(),
  }
}

export interface IdentityTrialOptions {
  readonly rotation: Pick<
    CertificateRotation,
    'isLoaded' | 'load' | 'record' | 'isInUse' | 'trial' | 'accept' | 'giveUp'
  >
  readonly evidence: IdentityEvidence
  readonly log: Log
  /** Ends the session, so that the next one uses the identity before. */
  readonly renewSession: () => void
}

const retryMs = 1_000

/**
 * Tries the identity of a session, where it is on trial: accepts it once it has shown that it can be used, or gives it up
 * when its time is over. Resolves when that is decided and done, or when `signal` aborts; never rejects. The session is renewed where
 * it is not to go on with the identity that it began with.
 */
export async function tryIdentity(options: IdentityTrialOptions, signal: AbortSignal): Promise<void> {
  const { rotation, log, renewSession } = options
  if (!rotation.isLoaded) {
    const text = 'whether a new certificate is on trial cannot be told'
    await repeated({ log, text }, signal, () => rotation.load())
    renewSession() // what was found may have changed the identity in use
    return
  }
  if (!(await isInUse(options, signal))) {
    renewSession() // this one has begun with the identity before, whose evidence says nothing
    return
  }
  const { withinMs } = rotation.trial() ?? {}
  if (withinMs === undefined) return
  const trial = { withinMs, endsMs: monotonicMs() + withinMs, missing: new Set<string>() }
  const text = 'the trial of the new certificate cannot be ended'
  await repeated({ log, text }, signal, () => decide(options, trial, signal))
  const { record } = rotation
  if (record?.state === 'rotated') {
    const { certificateId, previousCertificateId: deactivate } = record
    log.info('the new certificate is proven: the one before is not used any more', { certificateId, deactivate })
  }
  if (record?.state !== 'failed') return
  const { reason, orphanCertificateId: orphan } = record
  log.error('the new certificate is given up: the one before is used again', { reason, orphan })
  renewSession()
}

async function isInUse({ rotation, log }: IdentityTrialOptions, signal: AbortSignal): Promise<boolean> {
  let inUse = true
  await repeated({ log, text: 'the new certificate cannot be put to use' }, signal, async () => {
    inUse = await rotation.isInUse()
  })
  return inUse
}

/** Until it succeeds. */
async function repeated(
  { log, text }: Pick<IdentityTrialOptions, 'log'> & { readonly text: string },
  signal: AbortSignal,
  attempt: () => Promise<void>,
): Promise<void> {
  const failures = new FailureLog(log)
  while (!signal.aborted) {
    try {
      await attempt()
      return
    } catch (error) {
      if (hasEnded(signal)) return
      failures.failed(text, error)
      await sleep(retryMs, signal).catch(() => undefined)
    }
  }
}

interface TrialState {
  readonly withinMs: number
  readonly endsMs: number
  readonly missing: Set<string>
}

/** Whoever asked for the rotation may decide, too. */
async function decide(
  { rotation, evidence }: IdentityTrialOptions,
  { withinMs, endsMs, missing }: TrialState,
  signal: AbortSignal,
): Promise<void> {
  const leftMs = endsMs - monotonicMs()
  const deadline = { signal, withinMs: leftMs, what: 'the trial' }
  if (leftMs > 0 && (await isInTime(() => withDeadline(deadline, (end) => gather(evidence, missing, end)), signal))) {
    await rotation.accept()
  } else {
    await rotation.giveUp(reasonOf({ missing, why: evidence.why(), withinMs }))
  }
}

async function isInTime(attempt: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
  try {
    await attempt()
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof DeadlineError) return false
    throw error
  }
}

/** It may have aborted while something was waited for, which the compiler does not see. */
function hasEnded({ aborted }: AbortSignal): boolean {
  return aborted
}

async function gather(evidence: IdentityEvidence, missing: Set<string>, signal: AbortSignal): Promise<void> {
  using end = linkedAbort(signal)
  const had = async (what: string, wait: (signal: AbortSignal) => Promise<void>): Promise<void> => {
    missing.add(what)
    await wait(end.controller.signal)
    missing.delete(what)
  }
  try {
    await Promise.all([
      had('credentials', (each) => evidence.credentials(each)),
      had('an answer of AWS IoT Core', (each) => evidence.connection(each)),
    ])
  } finally {
    end.controller.abort()
  }
}

interface Unproven {
  readonly missing: ReadonlySet<string>
  readonly why: string | undefined
  readonly withinMs: number
}

function reasonOf({ missing, why, withinMs }: Unproven): string {
  const what = missing.size === 0 ? 'it could not be recorded' : `without ${[...missing].join(' and ')}`
  return `not proven within ${Math.round(withinMs / 1_000)} s: ${what}${why === undefined ? '' : ` (${why})`}`
}
