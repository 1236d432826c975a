import type { ApplicationConfig } from '../config/config-schema.ts'
import { AgentError, reportError, type ErrorReport } from '../lib/errors.ts'
import { FailureLog } from '../lib/failure-log.ts'
import type { Log } from '../lib/log.ts'
import { monotonicMs } from '../lib/monotonic.ts'
import { Worker, type PassOutcome } from '../lib/worker.ts'
import type { ApplicationFiles } from './application-files.ts'
import type { ApplicationRoles } from './application-roles.ts'
import type { CredentialsServer, ServedApplication } from './credentials-server.ts'

/** Contract as CameraGroups': throws an AgentError that says what to do. */
export interface ApplicationGroups {
  readonly idOf: (name: string) => Promise<number>
}

export interface ApplicationWorkerDeps {
  readonly applications: readonly ApplicationConfig[]
  readonly port: number
  readonly files: Pick<ApplicationFiles, 'prepare' | 'write'>
  readonly groups: ApplicationGroups
  readonly roles: ApplicationRoles
  /** Outlives the worker, and goes on with what it served until the next one says otherwise. */
  readonly server: CredentialsServer
  readonly log: Log
}

/** Instants are on the monotonic clock. */
export interface ApplicationStatus {
  readonly name: string
  readonly state: 'starting' | 'ok' | 'failing'
  readonly sinceMs: number
  /** Of the credentials held, also while newer ones cannot be had. */
  readonly expiresMs: number | undefined
  readonly role: string | undefined
  /** How often credentials were handed to the application since the start. */
  readonly served: number
  readonly lastError: (ErrorReport & { readonly atMs: number }) | undefined
  readonly nextAttemptMs: number | undefined
}

interface Fault {
  readonly sinceMs: number
  readonly error: ErrorReport & { readonly atMs: number }
}

/** Files that somebody removed come back. */
const checkEveryMs = 60_000
const retryMs = 5_000

/**
 * Keeps the files of the applications and what is served to them as the configuration says. The role that each gets is
 * kept fresh by a worker of its own, so that one that fails is no fault of another.
 */
export class ApplicationWorker {
  readonly worker: Worker
  readonly #deps: ApplicationWorkerDeps
  readonly #failures: FailureLog
  readonly #faults = new Map<string, Fault>()
  /** Of all applications: their folder, or the port. */
  #commonFault: Fault | undefined

  constructor(deps: ApplicationWorkerDeps) {
    this.#deps = deps
    this.#failures = new FailureLog(deps.log)
    deps.roles.keep(deps.applications)
    this.worker = new Worker({ name: 'applications', log: deps.log, runPass: async () => await this.#pass() })
  }

  status(): readonly ApplicationStatus[] {
    return this.#deps.applications.map(({ name }) => this.#statusOf(name))
  }

  async #pass(): Promise<PassOutcome> {
    try {
      await this.#serve()
      this.#commonFault = undefined
    } catch (error) {
      this.#commonFault = faultOf(error, this.#commonFault)
      this.#failures.failed('applications cannot be served', error)
    }
    const [fault] = [this.#commonFault, ...this.#faults.values()].filter((each) => each !== undefined)
    if (fault === undefined) {
      this.#failures.recovered('applications are served again')
      return { nextInMs: checkEveryMs }
    }
    const { message, hint } = fault.error
    const error = new AgentError(message, { retryable: true, ...(hint === undefined ? {} : { hint }) })
    return { nextInMs: retryMs, fault: error }
  }

  /** A port that is taken is a fault of all applications, and of nothing else in the agent. */
  async #serve(): Promise<void> {
    const { applications, files, server, port } = this.#deps
    this.#serveNoOthers()
    await files.prepare(applications.map(({ name }) => name))
    const served: ServedApplication[] = []
    for (const application of applications) {
      const token = await this.#tokenOf(application)
      if (token !== undefined) served.push(this.#served(application.name, token))
    }
    server.serve(served)
    await (applications.length === 0 ? server.close() : server.listen(port))
  }

  /** Whatever becomes of the files: who left the configuration gets nothing more, and nobody the role that he had before. */
  #serveNoOthers(): void {
    const { applications, server } = this.#deps
    const known = applications.map(({ name }) => ({ name, token: server.tokenOf(name) }))
    server.serve(known.flatMap(({ name, token }) => (token === undefined ? [] : [this.#served(name, token)])))
  }

  /** Undefined for an application that cannot be served. What may pass by itself leaves the token that it had. */
  async #tokenOf({ name, group }: ApplicationConfig): Promise<string | undefined> {
    const { files, groups, server } = this.#deps
    try {
      const token = await files.write(name, await groups.idOf(group))
      this.#faults.delete(name)
      return token
    } catch (error) {
      this.#faults.set(name, faultOf(error, this.#faults.get(name)))
      this.#failures.failed('an application cannot be given its files', error, { application: name })
      const mayPass = !(error instanceof AgentError) || error.retryable
      return mayPass ? server.tokenOf(name) : undefined
    }
  }

  #served(name: string, token: string): ServedApplication {
    const { roles } = this.#deps
    const credentials = roles.credentialsOf(name)
    return {
      name,
      token,
      credentials: async () => {
        if (credentials === undefined) throw new AgentError('its role is not there', { retryable: true })
        return await credentials.get()
      },
    }
  }

  #statusOf(name: string): ApplicationStatus {
    const { roles, server } = this.#deps
    const credentials = roles.credentialsOf(name)
    const health = credentials?.worker.health()
    const held = credentials?.status().held
    const { passes, nextPassMs } = this.worker.health()
    const fault = this.#commonFault ?? this.#faults.get(name)
    const common = { name, expiresMs: held?.expiresMs, role: held?.role, served: server.servedCount(name) }
    if (fault !== undefined) {
      const { sinceMs, error } = fault
      return { ...common, state: 'failing', sinceMs, lastError: error, nextAttemptMs: nextPassMs }
    }
    return {
      ...common,
      state: passes === 0 ? 'starting' : (health?.state ?? 'starting'),
      sinceMs: health?.sinceMs ?? monotonicMs(),
      lastError: health?.lastError,
      nextAttemptMs: health?.nextPassMs,
    }
  }
}

function faultOf(error: unknown, before: Fault | undefined): Fault {
  const nowMs = monotonicMs()
  return { sinceMs: before?.sinceMs ?? nowMs, error: { ...reportError(error), atMs: nowMs } }
}
