import { agentVersion } from './build-info.ts'
import type { Config } from './config/config-schema.ts'
import type { Configurations } from './composition/configuration/configurations.ts'
import { createControl, type Control, type ControlFault, type ControlOptions } from './composition/control/control.ts'
import { CredentialsServer } from './credentials/credentials-server.ts'
import { Generations, type GenerationsOptions } from './composition/generation/generations.ts'
import { monotonicMs } from './lib/monotonic.ts'
import { superviseAll, type Worker } from './lib/worker.ts'
import { LogRing } from './logs/log-ring.ts'
import { LogCounts } from './logs/log-tally.ts'
import { localRequests } from './composition/control/local-requests.ts'
import type { ProxyEnvironment } from './network/proxy-settings.ts'
import { operatorActions } from './composition/control/operator-actions.ts'
import { createSession, type Session, type SessionOverrides } from './composition/session/session.ts'
import { Identities, type IdentityParts } from './composition/session/identities.ts'
import { identityEvidence, tryIdentity } from './composition/session/identity-trial.ts'
import { rotationSources } from './composition/status/rotation-status.ts'
import { lockState, makeFolders, StartError } from './composition/session/state-folders.ts'
import { socketPathIn } from './status/status-client.ts'
import { startStatusServer } from './status/status-server.ts'
import { sessionEvidence, type ControlEvidence } from './composition/configuration/trial-evidence.ts'
import { reachOf, updateConfirmation } from './composition/control/update-confirmation.ts'

/** `ring` is where `log` keeps what CloudWatch has not got yet. */
export interface AgentOptions extends Pick<
  GenerationsOptions,
  'config' | 'log' | 'ring' | 'service' | 'reloads' | 'endWithinMs'
> {
  readonly overrides?: SessionOverrides
  /** Of proxies, where the configuration names none. */
  readonly proxyEnvironment?: ProxyEnvironment | undefined
  /** In the place of AWS IoT Core, in tests: what confirms a configuration on trial, beside credentials. */
  readonly control?: ((session: Session) => ControlEvidence) | undefined
  /** Which configuration is in force, where there are versions of it; `config` is then that of the base file alone. */
  readonly configurations?: Configurations
  /** The last lines of the agent's own log, for whoever asks for them here or for diagnostics by a job. Never emptied. */
  readonly recent?: Pick<LogRing, 'lines' | 'dropped'>
  /** Ends this process in an orderly way, where a service manager starts it again. */
  readonly restart?: (() => void) | undefined
}

interface SessionRun {
  /** What the next session is for; undefined at a stop. */
  readonly next: Config | undefined
  /** The configuration that was in use last. */
  readonly last: Config
}

/**
 * Runs the agent until `signal` aborts, then ends everything and resolves. Needs no network and no identity to start.
 * A changed configuration that leaves device, identity, endpoints, role, jobs, network, provisioning and paths alone replaces the workers that it is for; any other
 * replaces the session with them, and the one before is taken up again when the new one cannot even start. Rejects when
 * folders, lock or socket cannot be had, or when workers do not end at a reload.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const log = options.log.child({ worker: 'applications' })
  await using credentialsServer = new CredentialsServer({ log })
  const identities = new Identities(options.log.child({ worker: 'identity' }))
  const logCounts = new LogCounts()
  const shared = { startedMs: monotonicMs(), nextNumber: counter(), credentialsServer, identities, logCounts }
  let config: Config | undefined = options.config
  let last: Config | undefined
  while (config !== undefined) {
    try {
      const run: SessionRun = await runSession({ ...options, ...shared, config }, signal)
      last = run.last
      config = signal.aborted ? undefined : run.next
    } catch (error) {
      config = error instanceof StartError ? (options.configurations?.startFailed(error) ?? last) : undefined
      if (config === undefined || config === last) last = undefined // a second failure is not gone back from
      if (config === undefined) throw error
      options.log.error('the new configuration cannot be started: the one before is taken up again', { error })
    }
  }
}

/** Of one run of the agent, whatever its sessions are. */
type AgentRun = AgentOptions &
  Pick<GenerationsOptions, 'startedMs' | 'nextNumber' | 'credentialsServer' | 'logCounts'> & {
    readonly identities: Identities
  }

async function runSession(options: AgentRun, signal: AbortSignal): Promise<SessionRun> {
  await using owned = new AsyncDisposableStack()
  const { session, generations, control, trial, update } = await start(options, owned).catch((cause: unknown) => {
    throw cause instanceof StartError ? cause : new StartError('the agent cannot be started', { cause })
  })
  // the session outlives the generation, because the last flush of the logs needs credentials
  const sessionEnd = new AbortController()
  const workers = [...session.workers, update, ...(control?.workers ?? [])]
  const sessionWorkers = Promise.all([superviseAll(workers, sessionEnd.signal), trial(sessionEnd.signal)])
  try {
    const next = await generations.run(signal)
    return { next, last: generations.config }
  } finally {
    sessionEnd.abort()
    await sessionWorkers
  }
}

interface Started {
  readonly session: Session
  readonly generations: Generations
  readonly control: Control | undefined
  /** Of the identity, where that is on trial. Resolves once it is over, or on abort. */
  readonly trial: (signal: AbortSignal) => Promise<void>
  readonly update: Worker
}

/** Gets everything that may not be had before anything runs. */
async function start(options: AgentRun, owned: AsyncDisposableStack): Promise<Started> {
  const { log, overrides = {}, configurations, proxyEnvironment } = options
  const { paths } = options.config
  await makeFolders(paths, log)
  owned.use(await lockState(paths.state, log))
  const config = (await configurations?.begin(options.config)) ?? options.config
  const identity = await options.identities.open(paths.state)
  const { credentialsFolder } = options.service ?? {}
  const session = owned.use(await createSession({ config, log, overrides, credentialsFolder, proxyEnvironment }))
  const evidence = sessionEvidence(session, () => options.control?.(session) ?? control?.evidence)
  const fault: { control?: ControlFault } = {}
  const generations: Generations = new Generations({
    ...options,
    config,
    session,
    evidence,
    control: () => control,
    controlFault: () => fault.control,
    rotation: () => rotationSources(identity),
  })
  const operator = operatorActions({ session, generations })
  const control = await startControl({
    ...options,
    ...{ session, generations, operator, identity },
    onFault: (found) => {
      fault.control = found
    },
  })
  owned.use(control)
  const requests = localRequests({
    operator,
    generations,
    configurations,
    clock: session.clock,
    recent: options.recent ?? new LogRing(),
  })
  owned.use(await startStatusServer({ socketPath: socketPathIn(paths.runtime), requests, log }))
  const trial = async (signal: AbortSignal): Promise<void> => {
    await tryIdentity(
      {
        rotation: identity.rotation,
        evidence: identityEvidence(evidence, control),
        log: log.child({ worker: 'rotation' }),
        renewSession: () => {
          generations.renewSession()
        },
      },
      signal,
    )
  }
  const update = updateConfirmation({
    version: agentVersion,
    reports: session.updates,
    requests: session.rootRequests,
    hasCredentials: () => session.credentials.at(-1)?.status().held !== undefined,
    reach: reachOf(config, control),
    log: log.child({ worker: 'update' }),
  })
  return { session, generations, control, trial, update }
}

/** Jobs need versions of the configuration to change. */
async function startControl(options: AgentRun & ControlParts): Promise<Control | undefined> {
  const { configurations, recent, restart, service, log } = options
  if (configurations === undefined || recent === undefined) return undefined
  const { session, generations, operator, identity: identities, onFault } = options
  const { bootId } = service ?? {}
  const renewSession = (): void => {
    generations.renewSession()
  }
  const of = { session, generations, configurations, operator, identities, renewSession, onFault }
  return await createControl({ ...of, recent, restart, bootId, log })
}

type ControlParts = Pick<ControlOptions, 'session' | 'operator' | 'onFault'> & {
  readonly generations: Generations
  readonly identity: IdentityParts
}

function counter(): () => number {
  let last = 0
  return () => {
    last += 1
    return last
  }
}
