import { releasedAtMs } from '../../build-info.ts'
import type { Config } from '../../config/config-schema.ts'
import { configuredFiles } from './configured-files.ts'
import { clockCheck, type ClockFacts } from '../../doctor/clock-check.ts'
import { configurationCheck, type ConfigurationFacts } from '../../doctor/configuration-check.ts'
import { diskCheck } from '../../doctor/disk-check.ts'
import { dnsCheck, fewAtATime, proxiedNameCheck, readResolvers } from '../../doctor/dns-check.ts'
import { UnseenError, type Check } from '../../doctor/doctor-check.ts'
import { isLoopbackHost, type Endpoint } from '../../doctor/endpoint.ts'
import { filesCheck, type NeededFile } from '../../doctor/files-check.ts'
import { groupsCheck } from '../../doctor/group-check.ts'
import { journalCheck } from '../../doctor/journal-check.ts'
import { networkCheck, readNetwork } from '../../doctor/network-check.ts'
import { proxyCheck, type ProxyFacts } from '../../doctor/proxy-check.ts'
import { resetCheck } from '../../doctor/reset-check.ts'
import { requestHandlerCheck, runningAgentCheck, serviceCheck } from '../../doctor/service-check.ts'
import { isIn } from '../../doctor/service-sandbox.ts'
import { tlsCheck } from '../../doctor/tls-check.ts'
import { updateKeysCheck } from '../../doctor/update-keys-check.ts'
import type { DoctorCloud } from './doctor-cloud.ts'
import type { DoctorHost } from './doctor-host.ts'
import { tryTunnel, type DoctorWay } from './doctor-way.ts'
import { errorCode } from '../../lib/errors.ts'
import { isClockSynchronised } from '../../lib/clock-synchronised.ts'
import { pendingReset, type PendingReset } from '../../reset/pending-reset.ts'

const updateKeysFolder = '/etc/panorama-agent/update-keys'

/** What the checks of one run share. */
export interface DoctorContext extends DoctorWay {
  readonly config: Config
  readonly configuration: ConfigurationFacts
  readonly host: DoctorHost
  readonly cloud: DoctorCloud
  readonly endpoints: readonly Endpoint[]
}

/** Of the machine and of its network, in the order of the report. */
export function machineChecks(context: DoctorContext): readonly Check[] {
  const { config, configuration, host, endpoints, way, facts } = context
  const { paths, downloads, cameras, applications, logs } = config
  const groups = [
    ...cameras.streams.flatMap(({ name, group }) => (group === undefined ? [] : [{ group, field: `camera ${name}` }])),
    ...applications.map(({ name, group }) => ({ group, field: `application ${name}` })),
  ]
  const proxy: ProxyFacts = { ...facts, tryTunnel: async (signal) => await tryTunnel(way, endpoints, signal) }
  return [
    configurationCheck(configuration, host.isServiceUser),
    resetCheck(async () => await resetOf(paths.state)),
    diskCheck({
      folder: paths.state,
      minFreeBytes: config.artifacts.length === 0 ? 0 : downloads.minFreeBytes,
      maker: async (signal) => await makerOf(paths.state, host, signal),
    }),
    filesCheck({
      files: async (user) => [...configurationFiles(configuration), ...(await configuredFiles(config, user))],
      user: host.user,
    }),
    updateKeysCheck({ folder: updateKeysFolder, owner: { uid: 0, gid: 0 } }),
    groupsCheck(groups, host.groups),
    journalCheck({
      isConfigured: logs.sources.some(({ kind }) => kind === 'journal'),
      groups: host.groups,
      ask: host.journal,
    }),
    networkCheck(endpoints.every((endpoint) => isLoopbackHost(endpoint.host))),
    proxyCheck(() => Promise.resolve(proxy)),
  ]
}

/** Where a reset that is not finished would be found. Throws an UnseenError where it may not be looked for. */
export async function resetOf(state: string): Promise<PendingReset | undefined> {
  return await pendingReset(state).catch((error: unknown) => {
    throw errorCode(error) === 'EACCES' ? new UnseenError(state) : error
  })
}

/** Whoever makes a folder that is not there. */
export async function makerOf(folder: string, { user }: DoctorHost, signal: AbortSignal): Promise<string> {
  const made = (await user(signal).catch(() => undefined))?.sandbox?.made ?? []
  return made.some((each) => isIn(folder, each)) ? 'systemd' : 'the agent'
}

function configurationFiles({ file }: ConfigurationFacts): readonly NeededFile[] {
  return file === undefined ? [] : [{ field: 'configuration', path: file, need: 'read' }]
}

/** Whether endpoints are found and are who they should be, and what the clock is by them. */
export function endpointChecks({ cloud, host, endpoints }: DoctorContext): readonly Check[] {
  const dns = { resolve: fewAtATime(cloud.resolve), network: readNetwork, resolvers: () => readResolvers() }
  const names = endpoints.map((endpoint) => {
    const proxy = cloud.proxyOf(endpoint)
    return proxy === undefined ? dnsCheck(endpoint, dns) : proxiedNameCheck(endpoint, proxy)
  })
  const tls = endpoints.map((endpoint) =>
    tlsCheck(endpoint, cloud.inspectTls, cloud.proxyOf(endpoint) === undefined ? undefined : 'proxy'),
  )
  return [...names, ...tls, clockCheck(() => clockFacts(cloud, host), tls.map(({ id }) => id))] // prettier-ignore
}

export async function clockFacts(cloud: DoctorCloud | undefined, host: DoctorHost): Promise<ClockFacts> {
  return {
    nowMs: Date.now(),
    offsetMs: cloud?.clock.lastKnownMs() === undefined ? undefined : cloud.clock.offsetMs(),
    releasedAtMs,
    isSynchronised: isClockSynchronised(),
    maySetClock: await host.maySetClock(),
  }
}

export function serviceChecks({ unit, requestUnit, agent }: DoctorHost): readonly Check[] {
  return [serviceCheck(unit), requestHandlerCheck(requestUnit), runningAgentCheck(agent)]
}
