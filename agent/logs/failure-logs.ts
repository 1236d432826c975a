import { AgentError } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'

export interface NamedFailure {
  readonly what: string
  readonly error: unknown
}

const shownInFault = 5
const maxLogs = 1_000

/** Reports each stream, folder and file by itself, so that one failure does not hide or repeat another. */
export class FailureLogs {
  readonly #log: Log
  readonly #logs = new Map<string, FailureLog>()

  constructor(log: Log) {
    this.#log = log
  }

  /** Logs what fails now and what does no longer; answers one error for all. */
  report(failed: readonly NamedFailure[]): AgentError | undefined {
    const names = new Set(failed.map(({ what }) => what))
    for (const [what, failures] of this.#logs) {
      if (names.has(what)) continue
      failures.recovered('log upload goes on', { of: what })
      this.#logs.delete(what)
    }
    for (const { what, error } of failed.slice(0, maxLogs)) {
      const failures = this.#logs.get(what) ?? new FailureLog(this.#log)
      this.#logs.set(what, failures)
      failures.failed('log upload is held up', error, { of: what })
    }
    const [first] = failed
    if (first === undefined) return undefined
    const retryable = failed.some(({ error }) => !(error instanceof AgentError) || error.retryable)
    const shown = failed.slice(0, shownInFault).map(({ what }) => what)
    return new AgentError(`log upload is held up at ${shown.join(', ')}`, { retryable, cause: first.error })
  }
}
