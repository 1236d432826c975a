import { join } from 'node:path'

import { callAgent, socketPathIn } from '../../agent/status/status-client.ts'
import { startCloud, type Cloud } from '../cloud/cloud.ts'
import { AgentProcess, type AgentProcessOptions } from './agent-process.ts'
import { createApplianceFiles, type ApplianceFiles } from './appliance-files.ts'
import { tempFolder } from './temp-folder.ts'

export interface AgentSiteOptions {
  /** Merged over the configuration, section by section. */
  readonly config?: (places: { readonly folder: string; readonly cloud: Cloud }) => Readonly<Record<string, unknown>>
}

/** A local cloud and one appliance with the artifact `model` and the camera `dock-1`; no agent runs yet. */
export interface AgentSite extends AsyncDisposable {
  readonly cloud: Cloud
  readonly folder: string
  readonly appliance: ApplianceFiles
  /** `<state>/artifacts/model` */
  readonly artifactFolder: string
  readonly cameraFile: string
  /** Starts an agent, which disposing of the site ends. */
  readonly start: (options?: Partial<AgentProcessOptions>) => AgentProcess
  /** Puts an object below the prefix of the artifact. */
  readonly publish: (path: string, body: Uint8Array | string) => Promise<void>
  /** Asks the running agent for a pass of every artifact; resolves when it ended, well or badly. */
  readonly sync: () => Promise<void>
  /** Asks the running agent for a refresh of the cameras; resolves when it ended, well or badly. */
  readonly refresh: () => Promise<void>
  /** Creates the secret of the camera, or rotates it. */
  readonly setPassword: (password: string) => void
  /** How often each path below the prefix was asked for by GetObject. */
  readonly countGets: () => ReadonlyMap<string, number>
}

const artifactName = 'model'
const cameraName = 'dock-1'
const prefix = 'model/'
const secretId = `panorama/shared/${cameraName}`

export async function createAgentSite({ config }: AgentSiteOptions = {}): Promise<AgentSite> {
  await using resources = new AsyncDisposableStack()
  const { path: folder } = resources.use(await tempFolder())
  const cloud = resources.use(await startCloud())
  const sections = { ...workersConfig(cloud), ...config?.({ folder, cloud }) }
  const appliance = await createApplianceFiles({ cloud, folder, thingName: 'panorama_dock-1_Thing', config: sections })
  const secret = { isThere: false }
  const owned = resources.move()
  return {
    cloud,
    folder,
    appliance,
    artifactFolder: join(appliance.stateFolder, 'artifacts', artifactName),
    cameraFile: join(appliance.runtimeFolder, 'cameras', `${cameraName}.json`),
    start: (options = {}) => owned.use(new AgentProcess({ ...appliance, ...options })),
    publish: async (path, body) => {
      await cloud.s3.putObject({ bucket: cloud.names.bucket, key: `${prefix}${path}`, body })
    },
    sync: () => ask(appliance, '/sync'),
    refresh: () => ask(appliance, '/refresh'),
    setPassword: (password) => {
      const document = JSON.stringify({ username: 'viewer', password, streamUrl: 'rtsp://dock-1.example:554/1' })
      if (secret.isThere) cloud.secrets.rotateSecret(secretId, document)
      else cloud.secrets.createSecret(secretId, document)
      secret.isThere = true
    },
    countGets: () => countObjectReads(cloud),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

async function ask({ runtimeFolder }: ApplianceFiles, path: string): Promise<void> {
  const asked = callAgent({ socketPath: socketPathIn(runtimeFolder), method: 'POST', path, withinMs: 60_000 })
  await asked.catch(() => undefined)
}

function workersConfig({ names }: Cloud): Record<string, unknown> {
  return {
    artifacts: [{ name: artifactName, accessPoint: names.accessPointArn, prefix, pollSeconds: 10 }],
    cameras: { refreshSeconds: 30, streams: [{ name: cameraName, secretId, probe: false }] },
  }
}

function countObjectReads({ requests }: Cloud): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const { path } of requests.list({ service: 's3', action: 'GetObject' })) {
    const name = decodeURIComponent(path).slice(`/${prefix}`.length)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return counts
}
