import { AgentError } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker } from '../lib/worker.ts'
import type { RootAnswer, RootRequests } from './root-requests.ts'

/** Cloud time, as far as it is known. */
export interface CloudClock {
  /** In milliseconds since 1970. */
  readonly now: () => number
  /** What to add to the system clock. */
  readonly offsetMs: () => number
  /** Undefined until a server told the time. */
  readonly lastKnownMs: () => number | undefined
}

export interface ClockStepOptions {
  readonly clock: CloudClock
  readonly requests: RootRequests
  readonly log: Log
}

/** What came of the last request; the instant is on the monotonic clock. */
export interface ClockStepStatus extends RootAnswer {
  readonly atMs: number
}

const tolerableMs = 60_000
const waitForServerMs = 10_000
const lookEveryMs = 60_000
/** Root refuses today what it refused an hour ago; a clock that was set and is off again has another master. */
const askAgainMs = 2 * 3_600_000
const longestAskAgainMs = 24 * 3_600_000

/**
 * Asks root to set the system clock while it is more than a minute off: TLS of the MQTT connection, and everybody else
 * on the appliance, goes by it. Where the image does not allow that, nothing is lost: the agent has its own offset.
 * Asks again after 2 hours, then ever later up to a day.
 */
export class ClockStep {
  readonly worker: Worker
  readonly #options: ClockStepOptions
  readonly #failures: FailureLog
  #status: ClockStepStatus | undefined
  #asked = 0
  #notBeforeMs = 0

  constructor(options: ClockStepOptions) {
    this.#options = options
    this.#failures = new FailureLog(options.log)
    this.worker = new Worker({
      name: 'clock-step',
      log: options.log,
      runPass: async ({ signal }) => {
        const { clock } = options
        if (clock.lastKnownMs() === undefined) return { nextInMs: waitForServerMs }
        if (Math.abs(clock.offsetMs()) > tolerableMs && monotonicMs() >= this.#notBeforeMs) await this.#ask(signal)
        return { nextInMs: lookEveryMs }
      },
    })
  }

  status(): ClockStepStatus | undefined {
    return this.#status
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { clock, requests } = this.#options
    const offsetSeconds = Math.round(clock.offsetMs() / 1_000)
    this.#notBeforeMs = monotonicMs() + Math.min(longestAskAgainMs, askAgainMs * 2 ** this.#asked)
    this.#asked = Math.min(this.#asked + 1, 10)
    try {
      const argument = new Date(clock.now()).toISOString()
      this.#told(await requests.request({ verb: 'set-clock', argument }, signal), offsetSeconds)
    } catch (error) {
      if (signal.aborted) throw error
      this.#status = { result: 'failed', code: 'not-asked', atMs: monotonicMs() }
      this.#failures.failed('root cannot be asked to set the system clock', error)
    }
  }

  #told({ result, code }: RootAnswer, offsetSeconds: number): void {
    const { log } = this.#options
    this.#status = { result, code, atMs: monotonicMs() }
    if (result === 'done') {
      log.info('the system clock was set', { offsetSeconds })
    } else if (code === 'verb-not-allowed') {
      const hint = 'touch /etc/panorama-agent/allowed/set-clock, as root, lets the agent have it set'
      log.info('the system clock stays off: this appliance does not let the agent have it set', { offsetSeconds, hint })
    } else {
      const error = new AgentError(`set-clock: ${result}, ${code}`, { retryable: true, ...hintFor(result, code) })
      this.#failures.failed('the system clock could not be set', error, { offsetSeconds })
    }
  }
}

function hintFor(result: RootAnswer['result'], code: string): { readonly hint?: string } {
  if (result === 'no answer' && code === 'not-taken') return { hint: 'systemctl status panorama-agent-request.path' }
  if (code === 'clock-is-synchronised')
    return { hint: 'an NTP client keeps the clock at another time: mend its source' }
  return { hint: 'journalctl -u panorama-agent-request.service' }
}
