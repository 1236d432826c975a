import { appendFile, mkdir, readFile, readlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'

import type { DoctorReport } from '../../agent/doctor/doctor-check.ts'
import { errorCode } from '../../agent/lib/errors.ts'
import { isUnprovisioned } from '../../agent/status/render-unprovisioned.ts'
import type { StatusDocument } from '../../agent/status/status-document.ts'
import { secondDomain } from '../cloud/second-domain.ts'
import { agentCommand } from './agent-process.ts'
import { startNameServer } from './name-server.ts'
import { secondNames } from './proxied-site.ts'
import { createProvisioningSite, type ProvisioningSite } from './provisioning-site.ts'
import { runCommand } from './run-command.ts'
import { waitUntil } from './wait-until.ts'

/** What an appliance came to where IPv6 alone leads to the cloud. */
export interface Ipv6Report {
  /** That it was in, as `/proc/self/ns/net` has it. */
  readonly network: string
  /** Of all interfaces. */
  readonly addresses: readonly string[]
  /** How a connection to 127.0.0.1 ends. */
  readonly ipv4: string
  /** Types of records that were asked for. */
  readonly asked: readonly string[]
  readonly peers: readonly string[]
  readonly things: readonly string[]
  readonly installed: string
  readonly messages: readonly string[]
  readonly status: StatusDocument
  readonly unprovisioned: DoctorReport
  readonly provisioned: DoctorReport
}

/** Documentation's (RFC 5737): nobody has it. */
const ipv4 = '192.0.2.1'
const atWorkWithinMs = 60_000

/**
 * A cloud on ::1, whose names have an address of each family, and an appliance with a claim that has its first boot: to be run in
 * a network of its own. Prints an Ipv6Report.
 */
async function main(): Promise<void> {
  await using names = await startNameServer({ address: '::1', port: 53, domain: secondDomain, ipv4, ipv6: '::1' })
  await using site = await createProvisioningSite({ cloud: { address: '::1' }, config })
  const { cloud, folder, stateFolder, thingName } = site
  await cloud.s3.putObject({ bucket: cloud.names.bucket, key: 'model/a', body: 'content' })
  await mkdir(join(folder, 'logs'))
  await appendFile(join(folder, 'logs', 'app.log'), 'one line\n')
  await mkdir(stateFolder)
  const unprovisioned = await doctor(site)
  const agent = site.start()
  const status = await site
    .until('an appliance at work', (each) => !isUnprovisioned(each) && isAtWork(each), atWorkWithinMs)
    .catch((error: unknown) => {
      throw new Error(agent.output, { cause: error })
    })
  const group = `/aws/panorama/devices/${thingName}`
  const messages = (): readonly string[] => {
    const isThere = cloud.logs.groups().some(({ name }) => name === group)
    return isThere ? cloud.logs.events(group, 'app').map(({ message }) => message) : []
  }
  await waitUntil('the line is in CloudWatch', () => hasStream(site, group) && messages().length > 0)
  const provisioned = await doctor(site)
  const report: Ipv6Report = {
    network: await readlink('/proc/self/ns/net'),
    addresses: Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address)),
    ipv4: await codeOf('127.0.0.1'),
    asked: [...names.asked].sort(),
    peers: [...cloud.peers()],
    things: site.things(),
    installed: await readFile(join(stateFolder, 'artifacts', 'model', 'current', 'a'), 'utf8'),
    messages: messages(),
    status: status as StatusDocument, // of a provisioned one
    unprovisioned,
    provisioned,
  }
  await agent.stop()
  process.stdout.write(JSON.stringify(report))
}

function config({ folder, cloud }: Pick<ProvisioningSite, 'folder' | 'cloud'>): Readonly<Record<string, unknown>> {
  const { accessPointArn: accessPoint } = cloud.names
  return {
    endpoints: secondNames(cloud),
    artifacts: [{ name: 'model', accessPoint, prefix: 'model/', pollSeconds: 10 }],
    downloads: { minFreeBytes: 0 },
    logs: { flushSeconds: 1, sources: [{ kind: 'file', path: join(folder, 'logs', '*.log') }] },
  }
}

function isAtWork({ artifacts: [artifact], connection, credentials: [first] }: StatusDocument): boolean {
  return artifact?.releaseId !== undefined && connection?.state === 'connected' && first?.expiresAt !== undefined
}

function hasStream({ cloud: { logs } }: ProvisioningSite, group: string): boolean {
  return logs.groups().some(({ name }) => name === group) && logs.streams(group).some(({ name }) => name === 'app')
}

async function doctor({ configFile }: ProvisioningSite): Promise<DoctorReport> {
  const [node = '', ...args] = agentCommand
  const { stdout } = await runCommand(node, [...args, 'doctor', '--json', '--config', configFile])
  return JSON.parse(stdout) as DoctorReport // as it prints it
}

async function codeOf(host: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect({ host, port: 1 })
  socket.once('connect', () => {
    resolve('connected')
  })
  socket.once('error', (error) => {
    resolve(errorCode(error) ?? error.message)
  })
  const code = await promise
  socket.destroy()
  return code
}

await main()
process.exit(0)
