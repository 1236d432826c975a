import { X509Certificate } from 'node:crypto'

import { reportError } from '../lib/errors.ts'
import { fail, pass, skip, UnseenError, type Check, type Outcome } from './doctor-check.ts'
import { fileOutcomes, type FileAccess } from './file-access.ts'
import type { RunningAgent } from './service-check.ts'

export interface ClaimDeps {
  /** The certificate of the claim in PEM, read and found to be that of its key. Throws what is wrong, with a hint. */
  readonly load: () => Promise<{ readonly certificate: string }>
  readonly files: (signal: AbortSignal) => Promise<readonly FileAccess[]>
  readonly nowMs: () => number
}

/** What an appliance without identity shows AWS IoT to get one: there, of one pair, readable by the agent, and valid. */
export function claimCheck({ load, files, nowMs }: ClaimDeps): Check {
  return {
    id: 'claim',
    name: 'claim',
    withinMs: 5_000,
    run: async (signal) => {
      const unreadable = fileOutcomes(await files(signal))
      try {
        const outcome = claimOutcome(new X509Certificate((await load()).certificate), nowMs())
        return outcome.level === 'pass' && unreadable.length > 0 ? unreadable : [outcome]
      } catch (error) {
        if (error instanceof UnseenError) throw error
        const { message, hint } = reportError(error)
        return [fail(message, hint), ...unreadable.filter(({ text }) => !message.includes(text.split(' ')[0] ?? ''))]
      }
    },
  }
}

export function claimOutcome(
  { validFromDate, validToDate }: Pick<X509Certificate, 'validFromDate' | 'validToDate'>,
  nowMs: number,
): Outcome {
  const until = validToDate.toISOString().slice(0, 10)
  if (nowMs > validToDate.getTime()) {
    return fail(`the claim certificate has expired on ${until}`, 'make a new claim: see config/cloud/provisioning')
  }
  if (nowMs < validFromDate.getTime()) {
    const from = validFromDate.toISOString().slice(0, 10)
    return fail(
      `the claim certificate is not valid before ${from}, and it is ${new Date(nowMs).toISOString()}`,
      'set the system clock, or make a new claim',
    )
  }
  return pass(`certificate and key belong together, valid until ${until}`)
}

export interface SerialDeps {
  /** Throws what is wrong with it, with a hint. */
  readonly read: (signal: AbortSignal) => Promise<string>
  /** Whether the agent may read it. */
  readonly files: (signal: AbortSignal) => Promise<readonly FileAccess[]>
}

/** What the appliance is told from all others by. */
export function serialCheck({ read, files }: SerialDeps): Check {
  return {
    id: 'serial',
    name: 'serial number',
    withinMs: 5_000,
    run: async (signal) => {
      const unreadable = fileOutcomes(await files(signal))
      return unreadable.length > 0 ? unreadable : [pass(`it is ${await read(signal)}`)]
    },
  }
}

export interface ClaimConnectionDeps {
  readonly agent: (signal: AbortSignal) => Promise<RunningAgent>
  /** Connects with the claim, and disconnects; answers as which client. Throws what keeps it from that, with a hint. */
  readonly connect: (signal: AbortSignal) => Promise<string>
  readonly endpoint: string
}

/** Whether AWS IoT lets the claim in. An agent that runs does the same over and over, and would be cut off. */
export function claimConnectionCheck({ agent, connect, endpoint }: ClaimConnectionDeps): Check {
  return {
    id: 'mqtt',
    name: 'MQTT',
    withinMs: 20_000,
    needs: ['claim', 'serial', 'tls.mqtt'],
    run: async (signal) => {
      const { kind } = await agent(signal)
      if (kind !== 'none') return [skip('not tried, because an agent may be doing so: see "running agent"')]
      return [pass(`${endpoint} takes the claim as ${await connect(signal)}`)]
    },
  }
}
