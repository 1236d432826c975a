import { outdatedProxy, ProxyError } from '../../aws/proxy-error.ts'
import type { UnprovisionedConfig } from '../../config/config-schema.ts'
import { UnseenError } from '../../doctor/doctor-check.ts'
import type { Endpoint } from '../../doctor/endpoint.ts'
import {
  proxyPlace,
  type NamedProxy,
  type ProxyFacts,
  type TriedTunnel,
  type UnseenProxies,
} from '../../doctor/proxy-check.ts'
import { serviceUnit, type DoctorHost } from './doctor-host.ts'
import { AgentError, errorCode } from '../../lib/errors.ts'
import {
  proxyEnvironment,
  proxySettings,
  shownProxy,
  type ProxyEnvironment,
  type ProxyServer,
} from '../../network/proxy-settings.ts'
import { createWayToCloud, type WayOverrides, type WayToCloud } from '../session/way-to-cloud.ts'

export interface DoctorWayOptions {
  readonly config: Pick<UnprovisionedConfig, 'network' | 'identity'>
  readonly host: DoctorWayHost
  /** Of a running agent, which is taken as it is. */
  readonly way?: WayToCloud | undefined
  /** Of this process; that of the service comes first. */
  readonly proxyEnvironment?: ProxyEnvironment | undefined
  readonly overrides?: WayOverrides
}

type DoctorWayHost = Pick<DoctorHost, 'environment' | 'agent'>

/** The way that the agent goes, and what there is to say of it. */
export interface DoctorWay {
  readonly way: WayToCloud
  readonly facts: ProxyFacts
}

const readWithinMs = 8_000
const otherVariables = ['ALL_PROXY', 'all_proxy', 'HTTP_PROXY', 'http_proxy']

export async function doctorWay(options: DoctorWayOptions, signal: AbortSignal): Promise<DoctorWay> {
  const { config, overrides } = options
  const found = await environmentOf(options, signal)
  const unused = found.variables === undefined ? undefined : otherProxy(found.variables, found.where)
  if (options.way !== undefined) return { way: options.way, facts: factsOf(options.way.proxy, { ...found, unused }) }
  try {
    const way = createWayToCloud({ config, proxyEnvironment: found.proxies, overrides })
    const { proxy, noProxy } = config.network
    const isSettled = proxy !== undefined && noProxy.length > 0
    const unseen = isSettled ? undefined : await unseenOf(found.unseen, options.host, signal)
    return { way, facts: { ...factsOf(way.proxy, { ...found, unused }), unusable: way.unusable, unseen } }
  } catch (error) {
    const fault = error instanceof Error ? error : new AgentError(String(error))
    return { way: createWayToCloud({ config, overrides }), facts: { used: undefined, unused: undefined, fault } }
  }
}

/** What is known where there is no configuration. */
export async function environmentProxy(host: DoctorWayHost, signal: AbortSignal): Promise<ProxyFacts> {
  const found = await host.environment(signal)
  if (found === undefined) return { used: undefined, unused: undefined }
  const { variables } = found
  const { proxy } = proxySettings(
    { noProxy: [] },
    proxyEnvironment((name) => variables.get(name)),
  )
  const where = serviceUnit
  const unseen = await unseenOf(found.unseen, host, signal)
  return { ...factsOf(proxy, { where, unused: otherProxy(variables, where) }), unseen }
}

/** Makes a tunnel to the first endpoint that goes by the proxy, and lets go of it. What the proxy says of that one alone is told elsewhere. */
export async function tryTunnel(
  { dialer }: Pick<WayToCloud, 'dialer'>,
  endpoints: readonly Endpoint[],
  signal: AbortSignal,
): Promise<TriedTunnel | undefined> {
  const first = endpoints.find((endpoint) => dialer.proxyFor(endpoint) !== undefined)
  const proxy = first === undefined ? undefined : dialer.proxyFor(first)
  if (first === undefined || proxy === undefined) return undefined
  try {
    const socket = await dialer.dial(first, signal)
    socket.destroy()
  } catch (error) {
    const isOfTarget = error instanceof ProxyError && (error.failure === 'refused' || error.failure === 'cannot-reach')
    if (isOfTarget) return {}
    const isUnseen = error instanceof AgentError && errorCode(error.cause) === 'EACCES'
    throw isUnseen ? new UnseenError('what holds the credentials for the proxy') : error
  }
  const { outdatedProxy: dates } = dialer
  return { caution: dates === undefined ? undefined : outdatedProxy(dates, { proxy }) }
}

interface FoundEnvironment {
  readonly where: string
  readonly proxies: ProxyEnvironment
  /** Undefined where there is no service. */
  readonly variables: ReadonlyMap<string, string> | undefined
  readonly unseen: readonly string[]
}

async function unseenOf(
  files: readonly string[],
  host: DoctorWayHost,
  signal: AbortSignal,
): Promise<UnseenProxies | undefined> {
  if (files.length === 0) return undefined
  const agent = await host.agent(signal)
  return { files, running: agent.kind === 'answers' ? agent.network : undefined }
}

function factsOf(
  proxy: ProxyServer | undefined,
  { where, unused }: Pick<FoundEnvironment, 'where'> & { readonly unused: NamedProxy | undefined },
): ProxyFacts {
  if (proxy === undefined) return { used: undefined, unused }
  const by = proxy.origin === 'network.proxy' ? proxy.origin : `${proxy.origin} of ${where}`
  return { used: { where: by, proxy: shownProxy(proxy) }, unused: undefined }
}

function otherProxy(variables: ReadonlyMap<string, string>, where: string): NamedProxy | undefined {
  const name = otherVariables.find((each) => (variables.get(each) ?? '') !== '')
  return name === undefined ? undefined : { where: `${name} of ${where}`, proxy: proxyPlace(variables.get(name) ?? '') }
}

async function environmentOf(
  { host, proxyEnvironment: own = {} }: DoctorWayOptions,
  signal: AbortSignal,
): Promise<FoundEnvironment> {
  const within = AbortSignal.any([signal, AbortSignal.timeout(readWithinMs)])
  const found = await host.environment(within).catch(() => undefined)
  if (found === undefined) return { where: 'the environment', proxies: own, variables: undefined, unseen: [] }
  const { variables, unseen } = found
  return { where: serviceUnit, proxies: proxyEnvironment((name) => variables.get(name)), variables, unseen }
}
