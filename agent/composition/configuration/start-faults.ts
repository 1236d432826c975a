import type { ConfigFault } from '../../config/config-error.ts'
import { AgentError } from '../../lib/errors.ts'
import type { MadeConfiguration } from './made-configuration.ts'

export interface StartFaultsOptions {
  /** The base file. */
  readonly file: string
  readonly requestReload: () => void
}

const reloadAgainMs = 60_000

/** What could not be started, so that something else is in use in its place. */
export class StartFaults implements Disposable {
  /** Accepted versions. */
  readonly versions = new Map<number, ConfigFault>()
  readonly #options: StartFaultsOptions
  #fault: { readonly of: MadeConfiguration; readonly error: AgentError } | undefined
  #later: NodeJS.Timeout | undefined

  constructor(options: StartFaultsOptions) {
    this.#options = options
  }

  /** Why the base file, with what is over it, is not in use. */
  get error(): AgentError | undefined {
    return this.#fault?.error
  }

  /** The one that is in use stays in the place of another one. */
  stays(of: MadeConfiguration, cause: unknown): void {
    this.#fault = { of, error: new AgentError(`what ${this.#options.file} says could not be started`, { cause }) }
  }

  /** What was taken back may have cut the appliance off: nobody could ask for what is in force, which did start before. */
  reloadLater(): void {
    clearTimeout(this.#later)
    this.#later = setTimeout(this.#options.requestReload, reloadAgainMs)
  }

  started({ base, version }: MadeConfiguration): void {
    const { of } = this.#fault ?? {}
    if (of?.base === base && of.version?.number === version?.number) this.#fault = undefined
  }

  /** The base file was read anew. */
  forget(): void {
    this.#fault = undefined
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#later)
  }
}
