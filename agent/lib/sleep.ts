/**
 * Resolves after `ms`, or rejects with the signal's reason as soon as it aborts. Built on the global timer, so that
 * fake timers drive it.
 */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<undefined>()
  const onAbort = (): void => {
    reject(signal.reason)
  }
  const timer = setTimeout(() => {
    resolve(undefined)
  }, ms)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
