import { countText, durationText } from '../lib/quantity-text.ts'
import { clockText } from './clock-row.ts'
import { isUnprovisioned } from './render-unprovisioned.ts'
import { rotationCaution } from './rotation-text.ts'
import type { ClockPart, StatusDocument, StatusReport } from './status-document.ts'
import { updateCaution } from './update-text.ts'

const certificateWarningDays = 30
const clockWarningSeconds = 60
const dayMs = 86_400_000

/** What no part fails for and somebody should know, a sentence each. */
export function cautionsOf(status: StatusReport): readonly string[] {
  if (isUnprovisioned(status)) return clockCaution(status.clock)
  const { clock, configuration, identity, logs, network } = status
  return [
    ...certificateCaution(status),
    ...rotationCaution(identity.rotation),
    ...updateCaution(status),
    ...trafficCaution(network),
    ...clockCaution(clock),
    ...(configuration?.state === 'trial'
      ? ['a new configuration is on trial, and goes back unless it proves itself']
      : []),
    ...(logs.lost + logs.lostBytes === 0 ? [] : [`logs were lost since the agent started: ${lostText(logs)}`]),
  ]
}

function clockCaution({ offsetSeconds }: ClockPart): readonly string[] {
  const isOff = Math.abs(offsetSeconds) > clockWarningSeconds
  return isOff ? [`the system clock is ${clockText(offsetSeconds)}: see to its synchronisation`] : []
}

function trafficCaution(network: StatusDocument['network']): readonly string[] {
  switch (network?.traffic.state) {
    case 'near':
      return ["most of this month's bytes are used: at network.maxBytesPerMonth, downloads and log uploads wait"]
    case 'paused':
      return ["this month's bytes are used up: downloads and log uploads wait for the next month"]
    default:
      return []
  }
}

/** The calendar says when a certificate ends, so it is no news while the time is not known. */
function certificateCaution({ clock, identity }: StatusDocument): readonly string[] {
  const { certificateExpiresAt } = identity
  if (certificateExpiresAt === undefined || !clock.known) return []
  const leftMs = Date.parse(certificateExpiresAt) - Date.parse(clock.now)
  if (leftMs >= certificateWarningDays * dayMs) return []
  if (leftMs < 0) return ['the certificate has run out']
  return [`the certificate runs out in ${durationText(leftMs / 1_000)}: it has to be replaced before`]
}

function lostText({ lost, lostBytes }: StatusDocument['logs']): string {
  return [
    ...(lost === 0 ? [] : [countText(lost, 'event')]),
    ...(lostBytes === 0 ? [] : [`${countText(lostBytes, 'byte')} never read`]),
  ].join(' and ')
}
