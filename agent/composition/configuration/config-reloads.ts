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
    const { load, service, log } = this.#options
    for (;;) {
      await this.#requested(signal)
      this.#isWanted = false
      service.reloading()
      try {
        const config = await withDeadline({ signal, withinMs: loadWithinMs, what: 'reading the configuration' }, load)
        log.info('configuration is read anew')
        return config
      } catch (error) {
        signal.throwIfAborted()
        log.error('the changed configuration is at fault: the one in use stays', { error })
        service.kept()
      }
    }
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
