import type { JobExecutionId } from '../../agent/config/overlay-version.ts'
import type { TrialEvidence } from '../../agent/composition/configuration/config-trial.ts'

/** Evidence that comes when the test says so. Each waiting for it is counted, and ends with its signal. */
export class FakeEvidence implements TrialEvidence {
  readonly #had = { credentials: Promise.withResolvers<undefined>(), control: Promise.withResolvers<undefined>() }
  /** How often each was asked for. */
  readonly asked = { credentials: 0, control: 0 }
  /** What waits now. */
  waiting = 0
  reason: string | undefined
  /** Whose update was to be shown last. */
  job: JobExecutionId | undefined

  give(what: 'credentials' | 'control'): this {
    this.#had[what].resolve(undefined)
    return this
  }

  async credentials(signal: AbortSignal): Promise<void> {
    await this.#wait('credentials', signal)
  }

  async control(signal: AbortSignal, job?: JobExecutionId): Promise<void> {
    this.job = job
    await this.#wait('control', signal)
  }

  why(): string | undefined {
    return this.reason
  }

  async #wait(what: 'credentials' | 'control', signal: AbortSignal): Promise<void> {
    this.asked[what] += 1
    this.waiting += 1
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => {
      reject(signal.reason)
    })
    try {
      await Promise.race([this.#had[what].promise, aborted])
    } finally {
      this.waiting -= 1
    }
  }
}
