import type { AgentError } from '../lib/errors.ts'
import { pass, warn, type Check, type Outcome } from './doctor-check.ts'

/** A proxy that is named somewhere. */
export interface NamedProxy {
  /** Such as `HTTPS_PROXY of panorama-agent.service`. */
  readonly where: string
  /** Host and port, without user name and password. */
  readonly proxy: string
}

/** Files that set the service's environment, and that this user may not read. */
export interface UnseenProxies {
  readonly files: readonly string[]
  /** What a running agent says that it goes by; undefined where none says. */
  readonly running: { readonly proxy?: string } | undefined
}

/** What is known of proxies on the way to the cloud. */
export interface ProxyFacts {
  /** What the agent goes by. */
  readonly used: NamedProxy | undefined
  /** Named in a way that the agent does not go by. */
  readonly unused: NamedProxy | undefined
  /** Exceptions that mean nothing, and are not followed. */
  readonly unusable?: readonly string[]
  /** What may name another one, or exceptions. */
  readonly unseen?: UnseenProxies | undefined
  /** Why what is named is no proxy. */
  readonly fault?: Error | undefined
  /** Answers undefined where no endpoint goes by it. Throws what keeps the proxy from making tunnels at all. */
  readonly tryTunnel?: ((signal: AbortSignal) => Promise<TriedTunnel | undefined>) | undefined
}

export interface TriedTunnel {
  /** What keeps MQTT alone from going by the proxy. */
  readonly caution?: AgentError | undefined
}

const shownFiles = 3
const shownEntries = 5

export function proxyCheck(read: (signal: AbortSignal) => Promise<ProxyFacts>): Check {
  return {
    id: 'proxy',
    name: 'proxy',
    withinMs: 10_000,
    run: async (signal) => {
      const facts = await read(signal)
      const { used, fault, tryTunnel } = facts
      if (fault !== undefined) throw fault
      const unseen = unseenOutcome(facts)
      if (used === undefined) return [unseen ?? directOutcome(facts)]
      const tried = tryTunnel === undefined ? {} : await tryTunnel(signal)
      const found = usedOutcome(used, tried)
      return [
        found,
        ...exceptionOutcomes(facts),
        ...(unseen === undefined ? [] : [{ ...unseen, about: 'environment' }]),
      ]
    },
  }
}

function usedOutcome({ proxy, where }: NamedProxy, tried: TriedTunnel | undefined): Outcome {
  if (tried?.caution !== undefined) return warn(tried.caution.message, tried.caution.hint)
  return pass(`${proxy}, by ${where}${tried === undefined ? '; every endpoint is an exception from it' : ''}`)
}

function exceptionOutcomes({ unusable = [] }: ProxyFacts): readonly Outcome[] {
  if (unusable.length === 0) return []
  const text = `these mean nothing, and are not followed: ${unusable.slice(0, shownEntries).join(', ')}`
  const hint =
    'write hosts, .suffix, addresses or blocks such as 10.0.0.0/8, with commas between, in NO_PROXY or network.noProxy'
  return [{ ...warn(text, hint), about: 'exceptions' }]
}

/** What is said where the way looked at may not be the agent's; undefined where a running agent says that it is. */
function unseenOutcome({ used, unseen }: ProxyFacts): Outcome | undefined {
  if (unseen === undefined || unseen.files.length === 0) return undefined
  const { files, running } = unseen
  if (running !== undefined && running.proxy === used?.proxy) return undefined
  const shown = files.slice(0, shownFiles).join(', ')
  const way = used === undefined ? 'directly' : `by ${used.proxy}`
  const agent =
    running === undefined
      ? 'may go another way'
      : `goes ${running.proxy === undefined ? 'directly' : `by the proxy ${running.proxy}`}`
  return warn(
    `this user may not read ${shown}, where the service has variables from: the agent ${agent}, and what follows was looked at ${way}`,
    'run it with sudo: as it is, failures below may be none of the agent',
  )
}

function directOutcome({ unused }: ProxyFacts): Outcome {
  if (unused === undefined) return pass('none is named: the agent connects directly')
  return warn(
    `${unused.where} names ${unused.proxy}, which the agent does not go by: it connects directly`,
    'where the appliance has to go by it, name it in network.proxy, or in HTTPS_PROXY of the service',
  )
}

/** Host and port of a proxy's URL, whatever else is in it. */
export function proxyPlace(url: string): string {
  const parsed = URL.parse(url.includes('://') ? url : `http://${url}`)
  if (parsed === null) return 'what is no URL'
  const isCutOff = `${parsed.pathname}${parsed.search}${parsed.hash}`.includes('@')
  return isCutOff ? 'what is no URL' : parsed.host // else a part of a password that is not escaped
}
