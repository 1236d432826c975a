import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { Cloud } from '../cloud/cloud.ts'

export interface ApplianceFilesOptions {
  readonly cloud: Pick<Cloud, 'appliances' | 'endpoints' | 'region' | 'rootCaPem'>
  readonly folder: string
  readonly thingName: string
  /** Merged over the configuration, section by section. */
  readonly config?: Readonly<Record<string, unknown>>
}

export interface ApplianceFiles {
  readonly thingName: string
  readonly certificateId: string
  readonly configFile: string
  readonly config: Readonly<Record<string, unknown>>
  readonly stateFolder: string
  readonly runtimeFolder: string
  readonly identityFolder: string
  /** Every `*.log` in it is a log source. */
  readonly logsFolder: string
}

const demoAlias = 'panorama-appliance'

/** Makes an appliance in the cloud and, in `folder`, what an image would hold: identity and configuration file. */
export async function createApplianceFiles(options: ApplianceFilesOptions): Promise<ApplianceFiles> {
  const { cloud, folder, thingName } = options
  const appliance = await cloud.appliances.createAppliance({ thingName, alias: demoAlias })
  const files = {
    thingName,
    certificateId: appliance.certificateId,
    configFile: join(folder, 'config.json'),
    stateFolder: join(folder, 'state'),
    runtimeFolder: join(folder, 'run'),
    identityFolder: join(folder, 'identity'),
    logsFolder: join(folder, 'logs'),
  }
  await mkdir(files.identityFolder, { recursive: true, mode: 0o700 })
  await mkdir(files.logsFolder, { recursive: true })
  await writeFile(join(files.identityFolder, 'certificate.pem'), appliance.certificatePem)
  await writeFile(join(files.identityFolder, 'private.key'), appliance.privateKeyPem, { mode: 0o600 })
  await writeFile(join(files.identityFolder, 'root-ca.pem'), cloud.rootCaPem)
  const config = { ...baseConfig(options, files), ...options.config }
  await writeFile(files.configFile, `${JSON.stringify(config, null, 2)}\n`)
  return { ...files, config }
}

function baseConfig(
  { cloud, thingName }: ApplianceFilesOptions,
  files: Pick<ApplianceFiles, 'identityFolder' | 'logsFolder' | 'stateFolder' | 'runtimeFolder'>,
): Record<string, unknown> {
  const { identityFolder } = files
  return {
    device: { thingName, region: cloud.region },
    identity: {
      certificate: join(identityFolder, 'certificate.pem'),
      privateKey: join(identityFolder, 'private.key'),
      rootCa: join(identityFolder, 'root-ca.pem'),
    },
    endpoints: { ...cloud.endpoints },
    role: { alias: demoAlias },
    logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(files.logsFolder, '*.log') }] },
    paths: { state: files.stateFolder, runtime: files.runtimeFolder },
  }
}
