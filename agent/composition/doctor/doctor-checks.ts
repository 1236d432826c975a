import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'

import { parseCameraFile } from '../../cameras/camera-file.ts'
import { rtspProbe } from '../../cameras/rtsp/rtsp-probe.ts'
import { parseCameraSecret } from '../../cameras/secret-document.ts'
import { cameraHost } from '../../cameras/stream-url.ts'
import type { Config, UnprovisionedConfig } from '../../config/config-schema.ts'
import { deviceNames } from '../../config/device-names.ts'
import { rotationTemplateOf } from '../../config/provisioning-config.ts'
import { camerasCheck, type CameraReach } from '../../doctor/camera-check.ts'
import { clockCheck } from '../../doctor/clock-check.ts'
import { configurationCheck, type ConfigurationFacts } from '../../doctor/configuration-check.ts'
import { diskCheck } from '../../doctor/disk-check.ts'
import { skip, type Check } from '../../doctor/doctor-check.ts'
import { certificateDatesCheck, identityCheck, rootsCheck, type IdentityDeps } from '../../doctor/identity-check.ts'
import { mqttCheck, type MqttDeps } from '../../doctor/mqtt-check.ts'
import { networkCheck } from '../../doctor/network-check.ts'
import {
  applicationCheck,
  artifactCheck,
  credentialsCheck,
  logsCheck,
  secretsCheck,
} from '../../doctor/permission-check.ts'
import { proxyCheck } from '../../doctor/proxy-check.ts'
import { resetCheck } from '../../doctor/reset-check.ts'
import { runProgram, type RunProgram } from '../../doctor/run-program.ts'
import type { Rotating } from '../../doctor/topic-check.ts'
import { doctorCloud } from './doctor-cloud.ts'
import { doctorHost, type DoctorHost } from './doctor-host.ts'
import {
  clockFacts,
  endpointChecks,
  machineChecks,
  makerOf,
  resetOf,
  serviceChecks,
  type DoctorContext,
} from './doctor-machine.ts'
import { unprovisionedChecks } from './doctor-unprovisioned.ts'
import { doctorWay, environmentProxy } from './doctor-way.ts'
import type { IdentityLocation } from '../../identity/identity.ts'
import { deviceValues, expandTarget } from '../../logs/log-targets.ts'
import { templateParts } from '../../lib/text-template.ts'
import type { ProxyEnvironment } from '../../network/proxy-settings.ts'
import type { WayOverrides, WayToCloud } from '../session/way-to-cloud.ts'

export interface DoctorOptions {
  readonly configuration: ConfigurationFacts
  /** The one that the agent would use; undefined where there is none without a fault. */
  readonly config: Config | undefined
  /** That of an appliance without identity; `config` is undefined then. */
  readonly unprovisioned?: UnprovisionedConfig | undefined
  /** Of the agent that this runs in. */
  readonly way?: WayToCloud
  /** Of this process. */
  readonly proxyEnvironment?: ProxyEnvironment | undefined
  /** Where the agent is looked for when there is none. */
  readonly usualFolders: { readonly state: string; readonly runtime: string }
  /** Why it is not known that they are those of the agent. */
  readonly guess?: string | undefined
  /** Leaves out what costs requests beyond need, or what the agent asks by itself: secrets and cameras. */
  readonly isInsideAgent?: boolean
  readonly overrides?: DoctorOverrides
}

/** What tests put in the place of the real thing. */
export interface DoctorOverrides extends WayOverrides {
  readonly run?: RunProgram
  /** How long a running agent has to answer. */
  readonly answerWithinMs?: number
}

/** The checks of one run, in the order of the report, and what they share; disposing closes connections. */
export interface Doctor extends Disposable {
  readonly checks: readonly Check[]
}

export async function createDoctor(options: DoctorOptions, signal: AbortSignal): Promise<Doctor> {
  const { config, unprovisioned, overrides = {}, usualFolders } = options
  const { run = runProgram, answerWithinMs } = overrides
  if (config !== undefined) return await provisionedDoctor(options, config, signal)
  if (unprovisioned?.provisioning !== undefined) return await unprovisionedDoctor(options, unprovisioned, signal)
  const host = doctorHost({ run, identity: nowhere, paths: usualFolders, guess: options.guess, answerWithinMs })
  return { checks: withoutConfig(options, host), [Symbol.dispose]: () => undefined }
}

async function provisionedDoctor(options: DoctorOptions, config: Config, signal: AbortSignal): Promise<Doctor> {
  const liveFolder = join(config.paths.state, 'identity', 'current')
  const context = await contextOf(options, { config, identity: { seed: config.identity, liveFolder } }, signal)
  const { host } = context
  const identity = identityDeps(context)
  const checks = [
    ...machineChecks(context),
    identityCheck(identity),
    rootsCheck(identity),
    ...endpointChecks(context),
    certificateDatesCheck(identity),
    ...(await accessChecks(context)),
    ...serviceChecks(host),
  ]
  return doctorOf(checks, context)
}

async function unprovisionedDoctor(
  options: DoctorOptions,
  unprovisioned: UnprovisionedConfig,
  signal: AbortSignal,
): Promise<Doctor> {
  const { provisioning, device, identity } = unprovisioned
  if (provisioning === undefined) return { checks: [], [Symbol.dispose]: () => undefined }
  const { claimCertificate: certificate, claimPrivateKey: privateKey } = provisioning
  const config = { ...unprovisioned, device: { ...device, thingName: device.thingName ?? 'unprovisioned' } }
  const claim = { seed: { certificate, privateKey, rootCa: identity.rootCa }, liveFolder: nowhere.liveFolder }
  const context = await contextOf(options, { config, identity: claim }, signal)
  return doctorOf(unprovisionedChecks(context, provisioning), context)
}

type LookedAt = Pick<DoctorContext, 'config'> & { readonly identity: IdentityLocation }

async function contextOf(
  options: DoctorOptions,
  { config, identity }: LookedAt,
  signal: AbortSignal,
): Promise<DoctorOptions & DoctorContext> {
  const { overrides = {} } = options
  const { run = runProgram, lookup, answerWithinMs } = overrides
  const host = doctorHost({ run, identity, paths: config.paths, answerWithinMs })
  const way = await doctorWay({ ...options, config, host }, signal)
  const cloud = doctorCloud({ config, identity: host.identity, way: way.way, lookup })
  return { ...options, ...way, config, host, cloud, endpoints: await cloud.endpoints() }
}

function doctorOf(checks: readonly Check[], { cloud }: DoctorContext): Doctor {
  return {
    checks,
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

/** What can be looked at of a machine whatever its configuration is. */
function withoutConfig({ configuration, usualFolders, guess }: DoctorOptions, host: DoctorHost): readonly Check[] {
  return [
    configurationCheck(configuration, host.isServiceUser),
    ...(guess === undefined ? foldersChecks(usualFolders.state, host) : []),
    networkCheck(false),
    proxyCheck((signal) => environmentProxy(host, signal)),
    clockCheck(() => clockFacts(undefined, host), []),
    unconfiguredCheck,
    ...serviceChecks(host),
  ]
}

function foldersChecks(state: string, host: DoctorHost): readonly Check[] {
  const maker = async (signal: AbortSignal): Promise<string> => await makerOf(state, host, signal)
  return [resetCheck(async () => await resetOf(state)), diskCheck({ folder: state, minFreeBytes: 0, maker })]
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

function identityDeps({ host, cloud }: DoctorContext): IdentityDeps {
  return { load: host.identity, files: host.identityAccess, nowMs: () => cloud.clock.now() }
}

async function accessChecks(context: DoctorOptions & DoctorContext): Promise<readonly Check[]> {
  const { config, cloud, host, isInsideAgent = false } = context
  const { endpoints, device, role } = config
  const { permissions } = cloud
  const rotation = rotatingOf(config)
  const artifacts = config.artifacts.map(async ({ name, accessPoint, prefix, trustedKeys }) => {
    const { key } = await cloud.s3Endpoint(accessPoint)
    const place = { name, accessPoint, prefix, isSigned: trustedKeys.length > 0 }
    return artifactCheck(place, permissions, { endpointKey: key })
  })
  const { mqtt } = endpoints
  const tryTopics: MqttDeps['tryTopics'] = (signal) =>
    cloud.tryTopics({ endpoint: mqtt ?? '', clientId: device.thingName }, { rotation: rotation?.template, signal })
  return [
    credentialsCheck(permissions, role.alias),
    ...config.applications.map((application) => applicationCheck(application, permissions)),
    ...(mqtt === undefined
      ? []
      : [mqttCheck({ agent: host.agent, tryTopics, endpoint: mqtt, thingName: device.thingName, rotation })]),
    ...(await Promise.all(artifacts)),
    logsCheck(logGroups(config), permissions),
    ...(isInsideAgent ? [] : cameraChecks(context)),
  ]
}

function rotatingOf({ provisioning }: Config): Rotating | undefined {
  if (provisioning === undefined) return undefined
  return { template: rotationTemplateOf(provisioning), isDue: provisioning.rotateBeforeDays !== undefined }
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
