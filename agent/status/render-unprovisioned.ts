import { clockRow } from './clock-row.ts'
import { leftOverNotes } from './rotation-text.ts'
import type { StatusReport, UnprovisionedStatus } from './status-document.ts'
import { agentRow, overdueRows, PartRows, row, type StatusRow } from './status-rows.ts'

/** Tells the status of an appliance without identity from that of one with it. */
export function isUnprovisioned(report: StatusReport): report is UnprovisionedStatus {
  return !('identity' in report)
}

/** What a technician in front of an appliance without identity wants to know, a row per part. */
export function unprovisionedRows({
  agent,
  device,
  clock,
  provisioning,
  overdue,
}: UnprovisionedStatus): readonly StatusRow[] {
  const rows = new PartRows(clock.now)
  const { step, template, claim, leftOver } = provisioning
  const text = [`step ${step}, template ${template}, claim ${claim}`, ...leftOverNotes(leftOver)].join(', ')
  return [
    agentRow(agent, rows),
    row('device', '', `no identity yet, region ${device.region}`),
    clockRow(clock, rows),
    rows.part('provisioning', provisioning, text),
    ...overdueRows(overdue),
  ]
}
