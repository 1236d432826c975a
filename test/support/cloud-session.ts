import { mkdir } from 'node:fs/promises'

import { CredentialsServer } from '../../agent/credentials/credentials-server.ts'
import type { RoleCredentials } from '../../agent/credentials/role-credentials.ts'
import { configSchema, type Config } from '../../agent/config/config-schema.ts'
import { createGeneration, type Generation } from '../../agent/composition/generation/generation.ts'
import type { Worker } from '../../agent/lib/worker.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { createSession, type Session, type SessionOverrides } from '../../agent/composition/session/session.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import { startCloud, type Cloud, type CloudOptions } from '../cloud/cloud.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { RecordingLog } from './recording-log.ts'
import { running } from './running-worker.ts'
import { statusDocument } from './status-document.ts'
import { tempFolder } from './temp-folder.ts'

export interface ApplianceInCloudOptions {
  readonly cloud?: CloudOptions
  readonly thingName?: string
  /** Merged over the configuration, section by section. */
  readonly config?: (cloud: Cloud) => Readonly<Record<string, unknown>>
}

/** A cloud and one appliance's files; no agent runs yet. */
export interface ApplianceInCloud extends AsyncDisposable {
  readonly cloud: Cloud
  readonly files: ApplianceFiles
  readonly config: Config
}

export async function applianceInCloud(options: ApplianceInCloudOptions = {}): Promise<ApplianceInCloud> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startCloud(options.cloud))
  const folder = resources.use(await tempFolder())
  const files = await createApplianceFiles({
    cloud,
    folder: folder.path,
    thingName: options.thingName ?? 'dock-1',
    config: options.config?.(cloud) ?? {},
  })
  const owned = resources.move()
  const config = configSchema.parse(files.config)
  return { cloud, files, config, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** A session whose own workers run, with the three workers beside it that run when they are asked for a pass. */
export interface OpenSession extends AsyncDisposable {
  readonly session: Session
  readonly generation: Generation
  /** The credentials of the alias: the base role's where roles are chained. */
  readonly base: RoleCredentials
  readonly log: RecordingLog
}

/** Opens a session on a cloud of an appliance. Disposing ends its workers, sockets and timers. */
export async function openSession(config: Config, overrides: SessionOverrides = {}): Promise<OpenSession> {
  await using resources = new AsyncDisposableStack()
  for (const path of [config.paths.state, config.paths.runtime]) await mkdir(path, { recursive: true })
  const log = new RecordingLog()
  const session = resources.use(await createSession({ config, log, overrides }))
  const status = (): StatusDocument => statusDocument()
  const credentialsServer = resources.use(new CredentialsServer({ log }))
  const ring = new LogRing()
  const generation = createGeneration({ config, session, log, ring, credentialsServer, number: 1, status })
  resources.use(generation.logs)
  for (const worker of session.workers) resources.use(running(worker))
  const [base] = session.credentials
  if (base === undefined) throw new Error('the session has no credentials')
  const owned = resources.move()
  return { session, generation, base, log, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Runs one pass of a worker that nobody runs yet. Throws what the pass threw. */
export async function onePass(worker: Worker): Promise<void> {
  const asked = worker.requestPass()
  asked.catch(() => undefined)
  await using _ = running(worker)
  await asked
}

/** What a promise rejected with; throws when it did not reject. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    () => ({ rejected: false as const }),
    (error: unknown) => ({ rejected: true as const, error }),
  )
  if (!outcome.rejected) throw new Error('nothing was thrown')
  return outcome.error
}
