import { offsetText, part, row } from './render-status.ts'
import type { StatusReport, UnprovisionedStatus } from './status-document.ts'

/** Tells the status of an appliance without identity from that of one with it. */
export function isUnprovisioned(report: StatusReport): report is UnprovisionedStatus {
  return !('identity' in report)
}

/** What a technician in front of an appliance without identity wants to know. */
export function renderUnprovisioned({ agent, device, clock, provisioning }: UnprovisionedStatus): string {
  const { step, template, claim } = provisioning
  const rows = [
    row('agent', 'running', `version ${agent.version}, pid ${agent.pid}, since ${agent.startedAt}`),
    row('device', 'none', `not provisioned, region ${device.region}`),
    row('clock', clock.known ? 'known' : 'unconfirmed', `${clock.now}${offsetText(clock)}`),
    ...part('provisioning', provisioning, `step ${step}, template ${template}, claim ${claim}`),
  ]
  return `${rows.join('\n')}\n`
}
