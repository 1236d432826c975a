import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

import { startCloud, type Cloud } from '../test/cloud/cloud.ts'

const usage = `Usage: npm run cloud -- [--folder FOLDER] [--thing NAME] [--services-port PORT] [--credentials-port PORT]

Runs the local cloud until it is interrupted. Writes the identity of an appliance and a configuration for it to FOLDER
(default: a temporary folder, removed at the end).
`

const { values } = parseArgs({
  options: {
    folder: { type: 'string' },
    thing: { type: 'string', default: 'panorama_demo_Thing' },
    'services-port': { type: 'string', default: '0' },
    'credentials-port': { type: 'string', default: '0' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) process.stdout.write(usage)
else await run()

async function run(): Promise<void> {
  const interrupted = untilSignal()
  await using resources = new AsyncDisposableStack()
  const ports = { services: portOf('services-port'), credentials: portOf('credentials-port') }
  const cloud = resources.use(await startCloud({ ports }))
  const folder = values.folder === undefined ? await temporaryFolder(resources) : resolve(values.folder)
  await writeIdentity(cloud, folder)
  const { endpoints, names } = cloud
  process.stdout.write(`${JSON.stringify({ endpoints, names, identity: folder }, null, 2)}\n`)
  await interrupted
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

async function writeIdentity(cloud: Cloud, folder: string): Promise<void> {
  const { certificatePem, privateKeyPem } = await cloud.appliances.createAppliance({ thingName: values.thing })
  const identity = {
    certificate: join(folder, 'certificate.pem'),
    privateKey: join(folder, 'private.key'),
    rootCa: join(folder, 'root-ca.pem'),
  }
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await writeFile(identity.certificate, certificatePem)
  await writeFile(identity.privateKey, privateKeyPem, { mode: 0o600 })
  await writeFile(identity.rootCa, cloud.rootCaPem)
  const config = {
    device: { thingName: values.thing, region: cloud.region },
    identity,
    endpoints: cloud.endpoints,
    role: { alias: cloud.names.roleAlias },
    artifacts: [{ name: 'demo', accessPoint: cloud.names.accessPointArn }],
  }
  await writeFile(join(folder, 'agent.json'), `${JSON.stringify(config, null, 2)}\n`)
}

function portOf(name: 'services-port' | 'credentials-port'): number {
  const port = Number(values[name])
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError(`--${name} must be 0 to 65535`)
  return port
}
