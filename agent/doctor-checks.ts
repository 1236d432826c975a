import { readFile } from 'node:fs/promises'
import type { LookupFunction } from 'node:net'
import { userInfo } from 'node:os'
import { join } from 'node:path'

import { releasedAtMs } from './build-info.ts'
import { parseCameraFile } from './cameras/camera-file.ts'
import { rtspProbe } from './cameras/rtsp/rtsp-probe.ts'
import { parseCameraSecret } from './cameras/secret-document.ts'
import { cameraHost } from './cameras/stream-url.ts'
import type { Config } from './config/config-schema.ts'
import { deviceNames } from './config/device-names.ts'
import { camerasCheck, type CameraReach } from './doctor/camera-check.ts'
import { clockCheck } from './doctor/clock-check.ts'
import { configurationCheck, type ConfigurationFacts } from './doctor/configuration-check.ts'
import { diskCheck } from './doctor/disk-check.ts'
import { dnsCheck, fewAtATime, readResolvers } from './doctor/dns-check.ts'
import { skip, type Check } from './doctor/doctor-check.ts'
import { isLoopbackHost, type Endpoint } from './doctor/endpoint.ts'
import { groupsCheck } from './doctor/group-check.ts'
import { certificateDatesCheck, identityCheck, rootsCheck, type IdentityDeps } from './doctor/identity-check.ts'
import { journalCheck } from './doctor/journal-check.ts'
import { mqttCheck } from './doctor/mqtt-check.ts'
import { networkCheck, readNetwork } from './doctor/network-check.ts'
import {
  applicationCheck,
  artifactCheck,
  credentialsCheck,
  logsCheck,
  secretsCheck,
} from './doctor/permission-check.ts'
import { proxyCheck } from './doctor/proxy-check.ts'
import { runProgram, type RunProgram } from './doctor/run-program.ts'
import { requestHandlerCheck, runningAgentCheck, serviceCheck } from './doctor/service-check.ts'
import { tlsCheck } from './doctor/tls-check.ts'
import { doctorCloud, type DoctorCloud } from './doctor-cloud.ts'
import { doctorHost, type DoctorHost } from './doctor-host.ts'
import { isClockSynchronised } from './lib/clock-synchronised.ts'
import { deviceValues, expandTarget } from './logs/log-targets.ts'
import { templateParts } from './lib/text-template.ts'

export interface DoctorOptions {
  readonly configuration: ConfigurationFacts
  /** The one that the agent would use; undefined where there is none without a fault. */
  readonly config: Config | undefined
  /** Where the agent is looked for when there is none. */
  readonly usualFolders: { readonly state: string; readonly runtime: string }
  /** Leaves out what costs requests beyond need, or what the agent asks by itself: secrets and cameras. */
  readonly isInsideAgent?: boolean
  readonly overrides?: DoctorOverrides
}

/** What tests put in the place of the real thing. */
export interface DoctorOverrides {
  readonly run?: RunProgram
  readonly lookup?: LookupFunction
}

/** The checks of one run, in the order of the report, and what they share; disposing closes connections. */
export interface Doctor extends Disposable {
  readonly checks: readonly Check[]
}

export async function createDoctor(options: DoctorOptions): Promise<Doctor> {
  const { config, overrides = {}, usualFolders } = options
  const { run = runProgram, lookup } = overrides
  if (config === undefined) {
    const host = doctorHost({ run, identity: nowhere, runtimeFolder: usualFolders.runtime })
    return { checks: withoutConfig(options, host), [Symbol.dispose]: () => undefined }
  }
  const liveFolder = join(config.paths.state, 'identity', 'current')
  const host = doctorHost({ run, identity: { seed: config.identity, liveFolder }, runtimeFolder: config.paths.runtime })
  const cloud = doctorCloud({ config, identity: host.identity, lookup })
  const endpoints = await cloud.endpoints()
  const context = { ...options, config, host, cloud, endpoints }
  return {
    checks: [
      ...machineChecks(context),
      ...identityChecks(context),
      ...endpointChecks(context),
      ...(await accessChecks(context)),
      ...serviceChecks(host),
    ],
    [Symbol.dispose]() {
      cloud[Symbol.dispose]()
    },
  }
}

/** Whom the checks are run as. */
export function doctorUser(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.getuid?.() ?? 'unknown'}`
  }
}

const nowhere = {
  seed: { certificate: '/nowhere', privateKey: '/nowhere', rootCa: '/nowhere' },
  liveFolder: '/nowhere',
}

interface DoctorContext extends DoctorOptions {
  readonly config: Config
  readonly host: DoctorHost
  readonly cloud: DoctorCloud
  readonly endpoints: readonly Endpoint[]
}

/** What can be looked at of a machine whatever its configuration is. */
function withoutConfig({ configuration, usualFolders }: DoctorOptions, host: DoctorHost): readonly Check[] {
  return [
    configurationCheck(configuration),
    diskCheck({ folder: usualFolders.state, minFreeBytes: 0 }),
    networkCheck(false),
    proxyCheck(host.proxies),
    clockCheck(() => clockFacts(undefined, host), []),
    unconfiguredCheck,
    ...serviceChecks(host),
  ]
}

const unconfiguredCheck: Check = {
  id: 'endpoints',
  name: 'all else',
  withinMs: 1_000,
  run: () =>
    Promise.resolve([
      skip('identity, endpoints and permissions are looked at once there is a configuration without a fault'),
    ]),
}

function machineChecks({ config, configuration, host, endpoints }: DoctorContext): readonly Check[] {
  const { paths, downloads, cameras, applications, logs } = config
  const groups = [
    ...cameras.streams.flatMap(({ name, group }) => (group === undefined ? [] : [{ group, field: `camera ${name}` }])),
    ...applications.map(({ name, group }) => ({ group, field: `application ${name}` })),
  ]
  return [
    configurationCheck(configuration),
    diskCheck({ folder: paths.state, minFreeBytes: config.artifacts.length === 0 ? 0 : downloads.minFreeBytes }),
    groupsCheck(groups, host.groups),
    journalCheck({
      isConfigured: logs.sources.some(({ kind }) => kind === 'journal'),
      groups: host.groups,
      ask: host.journal,
    }),
    networkCheck(endpoints.every((endpoint) => isLoopbackHost(endpoint.host))),
    proxyCheck(host.proxies),
  ]
}

function identityChecks(context: DoctorContext): readonly Check[] {
  const deps = identityDeps(context)
  return [identityCheck(deps), rootsCheck(deps)]
}

function identityDeps({ host, cloud }: DoctorContext): IdentityDeps {
  return { load: host.identity, files: host.identityAccess, nowMs: () => cloud.clock.now() }
}

function endpointChecks(context: DoctorContext): readonly Check[] {
  const { cloud, host, endpoints } = context
  const dns = { resolve: fewAtATime(cloud.resolve), network: readNetwork, resolvers: () => readResolvers() }
  const tls = endpoints.map((endpoint) => tlsCheck(endpoint, cloud.inspectTls))
  return [
    ...endpoints.map((endpoint) => dnsCheck(endpoint, dns)),
    ...tls,
    clockCheck(() => clockFacts(cloud, host), tls.map(({ id }) => id)), // prettier-ignore
    certificateDatesCheck(identityDeps(context)),
  ]
}

async function clockFacts(cloud: DoctorCloud | undefined, host: DoctorHost) {
  return {
    nowMs: Date.now(),
    offsetMs: cloud?.clock.lastKnownMs() === undefined ? undefined : cloud.clock.offsetMs(),
    releasedAtMs,
    isSynchronised: isClockSynchronised(),
    maySetClock: await host.maySetClock(),
  }
}

async function accessChecks(context: DoctorContext): Promise<readonly Check[]> {
  const { config, cloud, host, isInsideAgent = false } = context
  const { endpoints, device, role } = config
  const { permissions } = cloud
  const artifacts = config.artifacts.map(async ({ name, accessPoint, prefix, trustedKeys }) => {
    const { key } = await cloud.s3Endpoint(accessPoint)
    const place = { name, accessPoint, prefix, isSigned: trustedKeys.length > 0 }
    return artifactCheck(place, permissions, { endpointKey: key })
  })
  const { mqtt } = endpoints
  const connect = (signal: AbortSignal): Promise<void> => cloud.connectMqtt(mqtt ?? '', signal)
  return [
    credentialsCheck(permissions, role.alias),
    ...config.applications.map((application) => applicationCheck(application, permissions)),
    ...(mqtt === undefined
      ? []
      : [mqttCheck({ agent: host.agent, connect, endpoint: mqtt, thingName: device.thingName })]),
    ...(await Promise.all(artifacts)),
    logsCheck(logGroups(config), permissions),
    ...(isInsideAgent ? [] : cameraChecks(context)),
  ]
}

/** The groups whose names do not depend on a file. */
function logGroups({ device, logs }: Config): { readonly group: string; readonly others: readonly string[] } {
  const names = deviceNames(device)
  const values = deviceValues({ ...names, thing: device.thingName })
  const group = `/aws/panorama/devices/${names.id}`
  const known = logs.sources.filter((source) =>
    templateParts(source.group).every((part) => part.kind === 'text' || part.name in values),
  )
  const others = known.map((source) => expandTarget({ group: source.group, stream: 'any' }, values).group)
  return { group, others: [...new Set(others)].filter((each) => each !== group) }
}

function cameraChecks({ config, cloud }: DoctorContext): readonly Check[] {
  const { cameras, paths } = config
  if (cameras.streams.length === 0) return []
  const streams = new Map<string, string>()
  const onValue = (camera: string, secretId: string, text: string | undefined): void => {
    streams.set(camera, parseCameraSecret(text, secretId).streamUrl)
  }
  const secrets = secretsCheck({ cameras: cameras.streams, onValue }, cloud.permissions)
  const probe = rtspProbe({ connectMs: 4_000, probeMs: 8_000 })
  const ask = async (name: string, signal: AbortSignal): Promise<CameraReach> => {
    const streamUrl = streams.get(name) ?? (await fileUrl(join(paths.runtime, 'cameras', `${name}.json`)))
    if (streamUrl === undefined) return { kind: 'unknown' }
    if (cameraHost(streamUrl) === undefined) return { kind: 'no-rtsp' }
    const ca = cameras.streams.find((camera) => camera.name === name)?.ca ?? cameras.ca
    const beforeAttempt = (): Promise<boolean> => Promise.resolve(false)
    const outcome = await probe({ streamUrl, username: '', password: '', ca }, { beforeAttempt }, signal)
    // with no credential to send, a refusal says that it was asked for one
    if (outcome.kind === 'refused' || outcome.kind === 'accepted') {
      return { kind: 'answers', asksForCredential: outcome.kind === 'refused' }
    }
    return outcome
  }
  return [secrets, camerasCheck({ cameras: cameras.streams.map(({ name }) => name), ask, after: [secrets.id] })]
}

/** Where the camera was, by the file that its consumers read. */
async function fileUrl(path: string): Promise<string | undefined> {
  try {
    return parseCameraFile(JSON.parse(await readFile(path, 'utf8'))).streamUrl
  } catch {
    return undefined
  }
}

function serviceChecks({ unit, requestUnit, agent }: DoctorHost): readonly Check[] {
  return [serviceCheck(unit), requestHandlerCheck(requestUnit), runningAgentCheck(agent)]
}
