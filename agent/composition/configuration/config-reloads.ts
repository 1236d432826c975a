import type { Config } from '../../config/config-schema.ts'
import type { Reloads } from '../generation/generations.ts'
import { withDeadline } from '../../lib/abort.ts'
import type { Log } from '../../lib/log.ts'
import type { Service } from '../service.ts'

export interface ConfigReloadsOptions {
  /** Reads and checks the configuration; throws what is at fault. */
  readonly load: () => Promise<Config>
  readonly service: Pick<Service, 'reloading' | 'kept'>
  readonly log: Log
}

const loadWithinMs = 10_000

/** Reads the configuration anew when asked to. Requests that come while one is being served are served as one. */
export class ConfigReloads implements Reloads {
  readonly #options: ConfigReloadsOptions
  #isWanted = false
  /** Under way, also where the session that waited for it has ended. */
  #loading: Promise<Config> | undefined
  #wake: () => void = () => undefined

  constructor(options: ConfigReloadsOptions) {
    this.#options = options
  }

  request(): void {
    this.#isWanted = true
    this.#wake()
  }

  /** A configuration at fault is reported, and the one in use stays. */
  async next(signal: AbortSignal): Promise<Config> {
    const { service, log } = this.#options
    const deadline = { signal, withinMs: loadWithinMs, what: 'reading the configuration' }
    for (;;) {
      if (this.#loading === undefined) await this.#requested(signal)
      const loading = this.#begun()
      try {
        const config = await withDeadline(deadline, () => loading)
        this.#loading = undefined
        log.info('configuration is read anew')
        return config
      } catch (error) {
        signal.throwIfAborted() // what is read is for the next session
        this.#loading = undefined
        log.error('the changed configuration is at fault: the one in use stays', { error })
        service.kept()
      }
    }
  }

  #begun(): Promise<Config> {
    const { load, service } = this.#options
    service.reloading()
    if (this.#loading !== undefined) return this.#loading
    this.#isWanted = false
    const loading = load()
    loading.catch(() => undefined) // perhaps nobody waits for it any more
    this.#loading = loading
    return loading
  }

  async #requested(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#isWanted) return
    const { promise, resolve, reject } = Promise.withResolvers<undefined>()
    const onAbort = (): void => {
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#wake = () => {
      resolve(undefined)
    }
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      this.#wake = () => undefined
    }
  }
}
