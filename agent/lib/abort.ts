import { DeadlineError } from './errors.ts'

export interface Deadline {
  readonly signal: AbortSignal
  readonly withinMs: number
  /** Names the work in the DeadlineError, as a subject: "the credentials request". */
  readonly what: string
}

/**
 * Runs `work` with a signal that aborts when the caller's does or when the time is up, and rejects at that moment
 * even if `work` ignores the signal. Throws a DeadlineError on time-out, the caller's reason on abort.
 */
export async function withDeadline<T>(
  { signal, withinMs, what }: Deadline,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted()
  const inner = new AbortController()
  const { promise: ended, reject } = Promise.withResolvers<never>()
  const end = (reason: unknown): void => {
    reject(reason) // first: work that rejects by itself on abort must not settle the race before this does
    inner.abort(reason)
  }
  const onAbort = (): void => {
    end(signal.reason)
  }
  const timer = setTimeout(() => {
    end(new DeadlineError(what, withinMs))
  }, withinMs)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work(inner.signal), ended])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

/** A controller that aborts when any of `signals` does, and lets go of them when disposed. */
export function linkedAbort(...signals: readonly AbortSignal[]): { controller: AbortController } & Disposable {
  const controller = new AbortController()
  const onAbort = (event: Event): void => {
    controller.abort(event.target instanceof AbortSignal ? event.target.reason : undefined)
  }
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
  }
  return {
    controller,
    [Symbol.dispose]() {
      for (const signal of signals) signal.removeEventListener('abort', onAbort)
    },
  }
}

/** Settles as `work` does, or rejects with the signal's reason as soon as it aborts; the work then goes on unwaited for. */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => {
    reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
