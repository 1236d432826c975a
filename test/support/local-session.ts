import { loadConfig } from '../../agent/config/load-config.ts'
import { createSession, type Session } from '../../agent/composition/session/session.ts'
import { startCloud, type Cloud } from '../cloud/cloud.ts'
import { createApplianceFiles } from './appliance-files.ts'
import { RecordingLog } from './recording-log.ts'
import { running } from './running-worker.ts'
import { tempFolder } from './temp-folder.ts'

/** A session of an appliance with a cloud of its own, for adapters alone: no generation, no files. */
export interface LocalSession extends AsyncDisposable {
  readonly cloud: Cloud
  readonly session: Session
}

export async function openLocalSession(thingName = 'appliance-a'): Promise<LocalSession> {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await tempFolder())
  const cloud = resources.use(await startCloud())
  const { configFile } = await createApplianceFiles({ cloud, folder: folder.path, thingName })
  const session = resources.use(
    await createSession({
      config: await loadConfig(configFile),
      log: new RecordingLog(),
      overrides: { minCredentialIntervalMs: 0 },
    }),
  )
  for (const credentials of session.credentials) resources.use(running(credentials.worker))
  const owned = resources.move()
  return { cloud, session, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}
