import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { callAgent, socketPathIn } from '../../agent/status/status-client.ts'
import type { StatusReport } from '../../agent/status/status-document.ts'
import type { CloudOptions } from '../cloud/cloud.ts'
import { startIotCloud, type IotCloud } from '../cloud/iot/iot-cloud.ts'
import { AgentProcess, type AgentProcessOptions } from './agent-process.ts'
import { imageConfig, writeClaimFiles } from './claim-files.ts'
import { tempFolder } from './temp-folder.ts'
import { waitUntil } from './wait-until.ts'

/** A local cloud with AWS IoT Core, and the files of an image with a claim that was never booted. */
export interface ProvisioningSite extends AsyncDisposable {
  readonly cloud: IotCloud
  readonly folder: string
  readonly serial: string
  readonly thingName: string
  readonly configFile: string
  readonly stateFolder: string
  readonly runtimeFolder: string
  readonly claimFolder: string
  readonly claimId: string
  /** Starts an agent, which disposing of the site ends. */
  readonly start: (options?: Partial<AgentProcessOptions>) => AgentProcess
  readonly status: () => Promise<StatusReport>
  /** Waits until the status is so. */
  readonly until: (
    what: string,
    isReached: (status: StatusReport) => boolean,
    withinMs?: number,
  ) => Promise<StatusReport>
  /** Certificates of things, in the cloud. */
  readonly things: () => readonly string[]
}

export interface ProvisioningSiteOptions {
  readonly cloud?: CloudOptions
  /** Merged over the section. */
  readonly provisioning?: Readonly<Record<string, unknown>>
  /** Merged over the configuration, section by section. */
  readonly config?: (places: { readonly folder: string; readonly cloud: IotCloud }) => Readonly<Record<string, unknown>>
}

export async function createProvisioningSite(options: ProvisioningSiteOptions = {}): Promise<ProvisioningSite> {
  await using resources = new AsyncDisposableStack()
  const cloud = resources.use(await startIotCloud(options.cloud))
  cloud.quotas.enforce(false)
  const { path: folder } = resources.use(await tempFolder())
  const serial = 'SN-1'
  const places = {
    folder,
    serial,
    thingName: `panorama_${serial}`,
    configFile: join(folder, 'config.json'),
    stateFolder: join(folder, 'state'),
    runtimeFolder: join(folder, 'run'),
  }
  const claim = await writeClaimFiles(cloud, folder)
  const serialNumberFile = join(folder, 'serial')
  await writeFile(serialNumberFile, `${serial}\n`)
  const paths = { state: places.stateFolder, runtime: places.runtimeFolder }
  const config = {
    ...imageConfig({ cloud, claim, serialNumberFile, paths, provisioning: options.provisioning }),
    ...options.config?.({ folder, cloud }),
  }
  await writeFile(places.configFile, JSON.stringify(config))
  const owned = resources.move()
  const status = async (): Promise<StatusReport> => {
    const socketPath = socketPathIn(places.runtimeFolder)
    const { body } = await callAgent({ socketPath, method: 'GET', path: '/status', withinMs: 5_000 })
    return body as StatusReport // the agent's own document
  }
  return {
    ...places,
    cloud,
    claimId: claim.claimId,
    claimFolder: claim.claimFolder,
    start: (agentOptions = {}) => owned.use(new AgentProcess({ ...places, ...agentOptions })),
    status,
    until: async (what, isReached, withinMs) => {
      const seen: StatusReport[] = []
      const look = async (): Promise<boolean> => {
        const found = await status().catch(() => undefined)
        if (found === undefined || !isReached(found)) return false
        seen.push(found)
        return true
      }
      await waitUntil(what, look, withinMs)
      const [found] = seen
      if (found === undefined) throw new Error(what)
      return found
    },
    things: () => cloud.iot.provisioning.certificates().flatMap(({ things }) => things),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
