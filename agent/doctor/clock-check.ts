import { fail, pass, skip, warn, type Check, type Outcome } from './doctor-check.ts'

/** What is known of the time. */
export interface ClockFacts {
  /** By the system clock, in milliseconds since 1970. */
  readonly nowMs: number
  /** What to add to that; undefined while no server that is trusted has told the time. */
  readonly offsetMs: number | undefined
  /** Before which it cannot be. */
  readonly releasedAtMs: number
  /** Whether the kernel has been told that the clock is right; undefined where it cannot be asked. */
  readonly isSynchronised: boolean | undefined
  /** Whether the agent may have the clock set. */
  readonly maySetClock: boolean
}

const tolerableMs = 60_000
/** Of Signature Version 4; the agent signs with its own clock, others on the appliance do not. */
const refusedMs = 300_000
const setClockFile = '/etc/panorama-agent/allowed/set-clock'

/** `after` are the checks that ask servers. */
export function clockCheck(readFacts: () => Promise<ClockFacts>, after: readonly string[]): Check {
  return {
    id: 'clock',
    name: 'clock',
    withinMs: 3_000,
    after,
    run: async () => {
      const facts = await readFacts()
      return [clockOutcome(facts), { ...synchronisedOutcome(facts), about: 'ntp' }]
    },
  }
}

export function clockOutcome({ nowMs, offsetMs, releasedAtMs, maySetClock }: ClockFacts): Outcome {
  const shown = new Date(nowMs).toISOString()
  const hint = maySetClock
    ? 'let NTP or the running agent set it: it may, once it has seen a server'
    : `let NTP set it, or touch ${setClockFile} as root, which lets the agent have it set`
  if (offsetMs === undefined) {
    if (nowMs < releasedAtMs) return fail(`the system clock says ${shown}, which is before this version was made`, hint)
    return skip(`the system clock says ${shown}; no server could be asked`)
  }
  const off = Math.abs(offsetMs)
  if (off === 0) return pass(`the system clock agrees with the servers: ${shown}`)
  const text = `the system clock says ${shown}, and is ${durationText(off)} ${offsetMs > 0 ? 'slow' : 'fast'}`
  if (off > refusedMs) return fail(`${text}: MQTT and other programs of the appliance go by it`, hint)
  return off > tolerableMs ? warn(text, hint) : pass(text)
}

function synchronisedOutcome({ isSynchronised }: ClockFacts): Outcome {
  if (isSynchronised === undefined) return skip('whether NTP keeps the clock cannot be asked as this user')
  if (isSynchronised) return pass('the kernel says that the clock is synchronised')
  return warn(
    'nothing keeps the clock synchronised',
    'run an NTP client (systemctl enable --now systemd-timesyncd, or chrony), and let UDP 123 out of the network',
  )
}

function durationText(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} minutes`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} hours` : `${Math.round(seconds / 86_400)} days`
}
