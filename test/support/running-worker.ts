import type { Worker } from '../../agent/lib/worker.ts'

export interface RunningWorker extends AsyncDisposable {
  /** Aborts the worker and waits until it has ended. */
  readonly stop: () => Promise<void>
}

/** Runs a worker until it is stopped or disposed. */
export function running(worker: Worker): RunningWorker {
  const controller = new AbortController()
  const ended = worker.supervise(controller.signal)
  const stop = async (): Promise<void> => {
    controller.abort()
    await ended
  }
  return { stop, [Symbol.asyncDispose]: stop }
}
