import { isDeepStrictEqual } from 'node:util'

import { composeStatus } from '../status/agent-status.ts'
import type { Config } from '../../config/config-schema.ts'
import type { TrialEvidence } from '../configuration/config-trial.ts'
import type { Configurations } from '../configuration/configurations.ts'
import type { Control, ControlFault } from '../control/control.ts'
import type { CredentialsServer } from '../../credentials/credentials-server.ts'
import { createGeneration, type Generation, type KeptParts } from './generation.ts'
import { GenerationWorkers, keptParts } from './generation-workers.ts'
import { linkedAbort, withDeadline } from '../../lib/abort.ts'
import type { RootLog } from '../../lib/log.ts'
import type { LogRing } from '../../logs/log-ring.ts'
import type { LogCounts } from '../../logs/log-tally.ts'
import type { RotationSources } from '../status/rotation-status.ts'
import type { Service, Watched } from '../service.ts'
import type { Session } from '../session/session.ts'
import type { StatusDocument } from '../../status/status-document.ts'

/** Where a changed configuration comes from. */
export interface Reloads {
  /** Resolves with the next configuration that is valid; rejects when `signal` aborts. */
  next(signal: AbortSignal): Promise<Config>
}

export interface GenerationsOptions {
  readonly config: Config
  readonly session: Session
  readonly log: RootLog
  readonly ring: LogRing
  /** Serves applications through changes of generation and session. */
  readonly credentialsServer: CredentialsServer
  /** Of what became of log events, since then. */
  readonly logCounts?: LogCounts | undefined
  /** When the agent started, on the monotonic clock. */
  readonly startedMs: number
  /** Numbers the generations of all sessions. */
  readonly nextNumber: () => number
  readonly service?: Pick<Service, 'ready' | 'kept' | 'stuck' | 'bootId' | 'credentialsFolder'> | undefined
  readonly reloads?: Reloads | undefined
  /** Which configuration is in force, where there are versions of it. */
  readonly configurations?: Pick<Configurations, 'running' | 'startFailed' | 'status' | 'trialEndsMs'> | undefined
  /** Of this session; see ConfigTrial. */
  readonly evidence: TrialEvidence
  /** Of the certificate. */
  readonly rotation?: (() => RotationSources) | undefined
  /** What the session has of AWS IoT Core, once that is there. */
  readonly control?: (() => Control | undefined) | undefined
  readonly controlFault?: (() => ControlFault | undefined) | undefined
  /** How long workers may take to end at a reload. Default 30 s; at a stop main.ts cuts off earlier. */
  readonly endWithinMs?: number | undefined
}

interface NextGeneration {
  /** Undefined at a stop. */
  readonly next: Config | undefined
  /** What goes on in it. */
  readonly kept: Partial<KeptParts>
}

const prepareWithinMs = 5_000
const lastFlushMs = 3_000
const endWithinMs = 30_000

/** The generations of one session, one after the other. */
export class Generations implements Watched {
  readonly #options: GenerationsOptions
  #config: Config
  #current: Generation
  #hasSaidReady = false
  readonly #renewal = new AbortController()

  constructor(options: GenerationsOptions) {
    this.#options = options
    this.#config = options.config
    this.#current = this.#create()
    options.session.credentials.at(-1)?.onRenewed(() => {
      this.#current.retryNow()
    })
  }

  get current(): Generation {
    return this.#current
  }

  get runtimeFolder(): string {
    return this.#config.paths.runtime
  }

  /** The configuration in use. */
  get config(): Config {
    return this.#config
  }

  status(): StatusDocument {
    const { session, startedMs, configurations, control, controlFault, rotation } = this.#options
    return composeStatus({
      config: this.#config,
      session,
      generation: this.#current,
      startedMs,
      configuration: configurations?.status(),
      trialEndsMs: configurations?.trialEndsMs(),
      control: control?.(),
      controlFault: controlFault?.(),
      rotation: rotation?.(),
    })
  }

  workers(): Generation['workers'] {
    const { workers, applicationRoles } = this.#options.session
    const control = this.#options.control?.()
    return [...workers, ...applicationRoles.workers, ...(control?.workers ?? []), ...this.#current.workers]
  }

  /** Has another session follow this one, with the same configuration. */
  renewSession(): void {
    this.#renewal.abort()
  }

  /**
   * Runs generation after generation until `signal` aborts, and then resolves with undefined, or until a configuration
   * comes that needs another session, or another session is asked for, and then resolves with it. Rejects when workers do not end at a reload.
   */
  async run(signal: AbortSignal): Promise<Config | undefined> {
    const workers = new GenerationWorkers(signal)
    for (;;) {
      const { next, kept } = await this.#runOne(workers, signal)
      if (next !== undefined && !signal.aborted && this.#isOfSession(next)) {
        this.#replace(next, kept)
        continue
      }
      // kept for a generation that does not come, where a stop or another session came meanwhile
      await this.#ended(workers, () => workers.end({}))
      return signal.aborted ? undefined : next
    }
  }

  /** Makes the generation of the next configuration, or, if there is no making that, one more of the present one. */
  #replace(next: Config, kept: Partial<KeptParts>): void {
    const { log, configurations } = this.#options
    const before = this.#config
    this.#config = next
    try {
      this.#current = this.#create(kept)
    } catch (error) {
      log.error('the new configuration cannot be started: the one before is taken up again', { error })
      this.#config = before
      this.#current = this.#create(kept)
      configurations?.startFailed(error)
    }
  }

  async #runOne(workers: GenerationWorkers, signal: AbortSignal): Promise<NextGeneration> {
    const { service } = this.#options
    await using logs = this.#current.logs
    const prepared = this.#prepared(signal)
    await this.#current.serveLastCredentials(signal)
    workers.start(this.#current)
    await prepared
    if (!signal.aborted) this.#sayReady()
    service?.ready(this)
    this.#isRunning(this.#config)
    const next = await this.#nextConfig(signal)
    const kept = next === undefined || signal.aborted ? {} : this.#keptFor(next)
    await this.#ended(workers, async () => {
      await workers.end(kept)
      await logs.flushOnStop(AbortSignal.timeout(lastFlushMs))
    })
    return { next, kept }
  }

  async #ended(workers: GenerationWorkers, end: () => Promise<void>): Promise<void> {
    const { endWithinMs: withinMs = endWithinMs } = this.#options
    const unending = new AbortController().signal
    try {
      await withDeadline({ signal: unending, withinMs, what: 'the end of the workers' }, end)
    } catch (error) {
      this.#reportUnended(workers, error)
      throw error
    }
  }

  /**
   * Resolves when there is what other services may start with once this one is ready, or when that failed or takes too
   * long. To be called before the workers run, so that their first passes are waited for.
   */
  async #prepared(signal: AbortSignal): Promise<void> {
    const { worker } = this.#current.applications
    const deadline = { signal, withinMs: prepareWithinMs, what: 'the first pass of the applications' }
    await withDeadline(deadline, async () => {
      await worker.requestPass()
    }).catch(() => undefined) // the worker reports it
  }

  /** Once for a session: a reload has its own line. */
  #sayReady(): void {
    if (this.#hasSaidReady) return
    this.#hasSaidReady = true
    this.#options.log.info('agent is ready', { thingName: this.#config.device.thingName, pid: process.pid })
  }

  #keptFor(next: Config): Partial<KeptParts> {
    return this.#isOfSession(next) ? keptParts(this.#current, this.#config, next) : {}
  }

  #isOfSession(next: Config): boolean {
    return !this.#renewal.signal.aborted && isSameSession(this.#config, next)
  }

  #reportUnended(workers: GenerationWorkers, error: unknown): void {
    const { service, log } = this.#options
    const unended = workers.unended()
    const stuck = unended.length > 0 ? unended : [this.#current.logs.worker.name] // or the last flush is
    log.error('workers do not end: the agent gives up', { stuck, error })
    service?.stuck(stuck)
  }

  #isRunning(config: Config): void {
    const { configurations, evidence } = this.#options
    configurations?.running(config, evidence)
  }

  /** Waits for a configuration that differs from the one in use, or for the renewal of the session; undefined at a stop. */
  async #nextConfig(signal: AbortSignal): Promise<Config | undefined> {
    const { reloads = noReloads, service, log } = this.#options
    using end = linkedAbort(signal, this.#renewal.signal)
    const ended = end.controller.signal
    while (!ended.aborted) {
      const next = await reloads.next(ended).catch((error: unknown) => {
        if (!ended.aborted) throw error
      })
      if (next === undefined) break
      if (!isDeepStrictEqual(next, this.#config)) return next
      log.info('the configuration is what it was: nothing changes')
      service?.kept()
      this.#isRunning(next)
    }
    return signal.aborted ? undefined : this.#config
  }

  #create(kept: Partial<KeptParts> = {}): Generation {
    const { session, log, ring, logCounts, credentialsServer, service, nextNumber } = this.#options
    log.setLevel(this.#config.logs.level)
    const status = (): StatusDocument => this.status()
    return createGeneration({
      config: this.#config,
      session,
      log,
      ring,
      logCounts,
      credentialsServer,
      bootId: service?.bootId,
      number: nextNumber(),
      status,
      kept,
    })
  }
}

const noReloads: Reloads = {
  next: async (signal) => {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => {
      reject(signal.reason)
    })
    return await promise
  },
}

/** What a session is built from; all else is a generation's. */
function isSameSession(one: Config, other: Config): boolean {
  return isDeepStrictEqual(sessionPart(one), sessionPart(other))
}

function sessionPart({
  device,
  identity,
  endpoints,
  role,
  jobs,
  network,
  paths,
  provisioning,
}: Config): Partial<Config> {
  return { device, identity, endpoints, role, jobs, network, paths, provisioning }
}
