import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

import { startCloud, type Cloud } from '../test/cloud/cloud.ts'
import { openCloudDoor } from '../test/cloud/iot/cloud-door.ts'
import { mosquittoHint, startIotCloud, type IotCloudOptions } from '../test/cloud/iot/iot-cloud.ts'
import { findMosquitto } from '../test/cloud/iot/mosquitto.ts'
import { cloudSocket } from './ask-cloud.ts'

export interface RunOptions {
  readonly folder?: string | undefined
  readonly thing: string
  readonly 'services-port': string
  readonly 'credentials-port': string
  readonly 'mqtt-port': string
}

/** Runs the local cloud until the process is interrupted. */
export async function runCloud(options: RunOptions): Promise<void> {
  const interrupted = untilSignal()
  await using resources = new AsyncDisposableStack()
  const ports = { services: portOf(options, 'services-port'), credentials: portOf(options, 'credentials-port') }
  const folder = options.folder === undefined ? await temporaryFolder(resources) : resolve(options.folder)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const mqttPort = portOf(options, 'mqtt-port')
  const cloud = await start(resources, { ports, mqttPort, socketPath: cloudSocket(folder) })
  await writeIdentity(cloud, folder, options.thing)
  const { endpoints, names } = cloud
  process.stdout.write(`${JSON.stringify({ endpoints, names, identity: folder }, null, 2)}\n`)
  await interrupted
}

/** With AWS IoT Core where there is a mosquitto; says so where there is none. */
async function start(
  resources: AsyncDisposableStack,
  { socketPath, ...options }: Pick<IotCloudOptions, 'ports' | 'mqttPort'> & { readonly socketPath: string },
): Promise<Cloud> {
  const mosquitto = await findMosquitto(process.env['PATH'] ?? '')
  if (mosquitto === undefined) {
    process.stderr.write(`cloud: without AWS IoT Core, because ${mosquittoHint}\n`)
    return resources.use(await startCloud(options))
  }
  const cloud = resources.use(await startIotCloud({ ...options, mosquitto }))
  const { appliances, signInPublisher } = cloud
  resources.use(await openCloudDoor({ ...cloud.iot, appliances, signInPublisher }, socketPath))
  return cloud
}

function untilSignal(): Promise<unknown> {
  const { promise, resolve: stop } = Promise.withResolvers<unknown>()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  return promise
}

async function temporaryFolder(resources: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'appliance-identity-'))
  resources.defer(() => rm(folder, { recursive: true, force: true }))
  return folder
}

async function writeIdentity(cloud: Cloud, folder: string, thingName: string): Promise<void> {
  const { certificatePem, privateKeyPem } = await cloud.appliances.createAppliance({ thingName })
  const identity = {
    certificate: join(folder, 'certificate.pem'),
    privateKey: join(folder, 'private.key'),
    rootCa: join(folder, 'root-ca.pem'),
  }
  await writeFile(identity.certificate, certificatePem)
  await writeFile(identity.privateKey, privateKeyPem, { mode: 0o600 })
  await writeFile(identity.rootCa, cloud.rootCaPem)
  const config = {
    device: { thingName, region: cloud.region },
    identity,
    endpoints: cloud.endpoints,
    role: { alias: cloud.names.roleAlias },
    artifacts: [{ name: 'demo', accessPoint: cloud.names.accessPointArn }],
    paths: { state: join(folder, 'state'), runtime: join(folder, 'run') },
  }
  await writeJson(join(folder, 'agent.json'), config)
  if ('mqtt' in cloud.endpoints) await writeFirstBoot(config, folder)
}

/** The same appliance before its first boot, in places of its own; its claim is made by "claims create". */
async function writeFirstBoot(
  {
    identity: { rootCa },
    device: { region },
    ...rest
  }: { readonly identity: { readonly rootCa: string } } & {
    readonly device: { readonly region: string }
  },
  folder: string,
): Promise<void> {
  const serialNumberFile = join(folder, 'serial')
  await writeFile(serialNumberFile, 'SN-1\n')
  const provisioning = {
    claimCertificate: join(folder, 'claim', 'certificate.pem'),
    claimPrivateKey: join(folder, 'claim', 'private.key'),
    serialNumberFile,
  }
  const paths = { state: join(folder, 'first-boot', 'state'), runtime: join(folder, 'first-boot', 'run') }
  await writeJson(join(folder, 'first-boot.json'), {
    ...rest,
    device: { region },
    identity: { rootCa },
    provisioning,
    paths,
  })
}

async function writeJson(file: string, content: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(content, null, 2)}\n`)
}

function portOf(options: RunOptions, name: 'services-port' | 'credentials-port' | 'mqtt-port'): number {
  const port = Number(options[name])
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`--${name} must be 0 to 65535`)
  return port
}
