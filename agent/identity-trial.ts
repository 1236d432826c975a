import type { TrialEvidence } from './config-trial.ts'
import type { Control } from './control.ts'
import type { CertificateRotation } from './identity/certificate-rotation.ts'
import { linkedAbort, withDeadline } from './lib/abort.ts'
import { DeadlineError } from './lib/errors.ts'
import { FailureLog } from './lib/failure-log.ts'
import type { Log } from './lib/log.ts'
import { monotonicMs } from './lib/monotonic.ts'
import { sleep } from './lib/sleep.ts'

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
  readonly rotation: Pick<CertificateRotation, 'trial' | 'accept' | 'giveUp'>
  readonly evidence: IdentityEvidence
  readonly log: Log
  /** Ends the session, so that the next one uses the identity before. */
  readonly renewSession: () => void
}

const retryMs = 1_000

/**
 * Tries the identity of a session, where it is on trial: accepts it once it has shown that it can be used, or gives it up
 * when its time is over. Resolves when that is decided, or when `signal` aborts; never rejects.
 */
export async function tryIdentity(options: IdentityTrialOptions, signal: AbortSignal): Promise<void> {
  const { rotation, evidence, log } = options
  const { withinMs = 0 } = rotation.trial() ?? {}
  const failures = new FailureLog(log)
  const endsMs = monotonicMs() + withinMs
  const missing = new Set<string>()
  while (!signal.aborted && rotation.trial() !== undefined) {
    try {
      const leftMs = endsMs - monotonicMs()
      if (leftMs <= 0) {
        await giveUp(options, reasonOf({ missing, why: evidence.why(), withinMs }))
        return
      }
      await withDeadline({ signal, withinMs: leftMs, what: 'the trial' }, (end) => gather(evidence, missing, end))
      await rotation.accept()
      log.info('the new certificate is proven: the one before is not used any more')
      return
    } catch (error) {
      if (error instanceof DeadlineError) continue
      if (hasEnded(signal)) return
      failures.failed('the trial of the new certificate cannot be ended', error)
      await sleep(retryMs, signal).catch(() => undefined)
    }
  }
}

/** It may have aborted while something was waited for, which the compiler does not see. */
function hasEnded({ aborted }: AbortSignal): boolean {
  return aborted
}

async function giveUp({ rotation, log, renewSession }: IdentityTrialOptions, reason: string): Promise<void> {
  const isBefore = await rotation.giveUp(reason)
  log.error('the new certificate is given up: the one before is used again', { reason })
  if (isBefore) renewSession()
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
