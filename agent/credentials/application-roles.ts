import type { ApplicationConfig } from '../config/config-schema.ts'
import type { Worker } from '../lib/worker.ts'
import type { RoleCredentials } from './role-credentials.ts'

interface KeptRole {
  readonly roleAlias: string
  readonly credentials: RoleCredentials
  readonly stop: AbortController
}

/**
 * The credentials of the applications' roles, each kept fresh by itself. They outlive a change of the configuration:
 * an application whose role alias stays keeps what it holds. Disposing ends them all.
 */
export class ApplicationRoles implements AsyncDisposable {
  readonly #create: (application: ApplicationConfig) => RoleCredentials
  readonly #roles = new Map<string, KeptRole>()
  readonly #running = new Set<Promise<void>>()

  constructor(create: (application: ApplicationConfig) => RoleCredentials) {
    this.#create = create
  }

  /** Starts and ends what it takes to have the credentials of just these applications. */
  keep(applications: readonly ApplicationConfig[]): void {
    const aliases = new Map(applications.map(({ name, roleAlias }) => [name, roleAlias]))
    for (const [name, { roleAlias, stop }] of this.#roles) {
      if (aliases.get(name) === roleAlias) continue
      stop.abort()
      this.#roles.delete(name)
    }
    for (const application of applications) {
      if (!this.#roles.has(application.name)) this.#start(application)
    }
  }

  credentialsOf(name: string): RoleCredentials | undefined {
    return this.#roles.get(name)?.credentials
  }

  get workers(): readonly Worker[] {
    return [...this.#roles.values()].map(({ credentials }) => credentials.worker)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.keep([])
    await Promise.all(this.#running)
  }

  #start(application: ApplicationConfig): void {
    const stop = new AbortController()
    const credentials = this.#create(application)
    this.#roles.set(application.name, { roleAlias: application.roleAlias, credentials, stop })
    const running = credentials.worker.supervise(stop.signal)
    this.#running.add(running)
    void running.finally(() => this.#running.delete(running))
  }
}
