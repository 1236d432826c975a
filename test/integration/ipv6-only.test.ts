import { readdir, readlink } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import type { DoctorReport } from '../../agent/doctor/doctor-check.ts'
import type { Ipv6Report } from '../support/ipv6-appliance.ts'
import { lacksMosquitto, leavesOutJobFaults } from '../support/mosquitto.ts'
import { lacksNamespaces, runInNamespace } from '../support/network-namespace.ts'
import { tempFolder } from '../support/temp-folder.ts'

const what = 'a first boot in a network without IPv4'
const leftOut = (await lacksMosquitto(what)) || (await lacksNamespaces(what))
const deadIpv4 = 'a first boot where IPv4 leads nowhere'
const deadIpv4LeftOut = leftOut || (await leavesOutJobFaults(deadIpv4))

/** One interface with a way out by IPv6. */
const ipv6 = [
  'ip link set lo up',
  'ip link add out type veth peer name far',
  'ip link set far up',
  'ip link set out up',
  'ip -6 address add fd00::7/64 dev out nodad',
  'ip -6 route add default dev out',
]
const noIpv4 = ['ip address delete 127.0.0.1/8 dev lo']
/** What is sent to anybody goes to a machine that is not there. */
const lostIpv4 = [
  'ip address add 192.0.2.7/24 dev out',
  'ip neighbour add 192.0.2.1 lladdr 02:00:00:00:00:01 dev out',
  'ip route add default via 192.0.2.1 dev out',
]
const nameServer = { '/etc/resolv.conf': 'nameserver ::1\n' }
/** gai.conf(5) */
const ipv4First = { '/etc/gai.conf': 'precedence ::ffff:0:0/96 100\n' }

/** Of the program; then of the test, so that the program never outlives it. */
const withinMs = 100_000
const timeout = withinMs + 10_000
const passed = ['network', 'proxy', 'dns.mqtt', 'tls.credentials', 'tls.mqtt', 'mqtt']
const passedLater = [...passed, 'credentials', 'permission.artifact.model.get', 'permission.logs.put']

it.skipIf(leftOut)('gets an identity and does the main job where there is no IPv4 at all', { timeout }, async () => {
  const report = await firstBoot([...ipv6, ...noIpv4], nameServer)
  expect(report.addresses.filter((address) => !address.includes(':'))).toEqual([])
  expect(report.ipv4).toBe('ENETUNREACH')
  expectAtWork(report)
  expect(textOf(report.provisioned, 'network')).toBe('out fd00::7; default route: IPv6 by out')
  expect(await networksInUse()).not.toContain(report.network)
})

it.skipIf(deadIpv4LeftOut)('does so where IPv4 comes first and leads nowhere', { timeout }, async () => {
  const report = await firstBoot([...ipv6, ...lostIpv4], { ...nameServer, ...ipv4First })
  expect(textOf(report.provisioned, 'dns.mqtt')).toBe('mqtt.cloud.test is 192.0.2.1, ::1, by ::1')
  expectAtWork(report)
})

async function firstBoot(setup: readonly string[], files: Readonly<Record<string, string>>): Promise<Ipv6Report> {
  await using folder = await tempFolder()
  const script = join(import.meta.dirname, '..', 'support', 'ipv6-appliance.ts')
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', script]
  const printed = await runInNamespace({ folder: folder.path, setup, files, program, withinMs })
  return JSON.parse(printed) as Ipv6Report // as it prints it
}

function expectAtWork(report: Ipv6Report): void {
  expect(report).toMatchObject({
    asked: ['A', 'AAAA'],
    peers: ['::1'],
    things: ['panorama_SN-1'],
    installed: 'content',
    messages: ['one line'],
  })
  expect(report.status.connection).toMatchObject({ state: 'connected' })
  expectHealthy(report.unprovisioned, [...passed, 'claim'])
  expectHealthy(report.provisioned, passedLater)
}

function expectHealthy({ findings }: DoctorReport, ids: readonly string[]): void {
  const idsAt = (wanted: string): readonly string[] =>
    findings.filter(({ level }) => level === wanted).map(({ id }) => id)
  expect(idsAt('fail')).toEqual([])
  expect(idsAt('warn').filter((id) => id !== 'clock.ntp')).toEqual([]) // the machine of the test may have no NTP
  expect(idsAt('pass')).toEqual(expect.arrayContaining([...ids]))
}

function textOf({ findings }: DoctorReport, wanted: string): string | undefined {
  return findings.find(({ id }) => id === wanted)?.text
}

/** By any process. */
async function networksInUse(): Promise<ReadonlySet<string>> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const networks = processes.map((id) => readlink(`/proc/${id}/ns/net`).catch(() => ''))
  return new Set(await Promise.all(networks))
}
