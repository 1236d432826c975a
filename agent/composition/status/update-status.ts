import { monotonicMs } from '../../lib/monotonic.ts'
import type { EndedUpdate, UpdateReports, UpdateTrial } from '../../root-requests/update-reports.ts'
import type { StatusDocument } from '../../status/status-document.ts'
import type { UpdatePart } from '../../status/update-part.ts'

type Known = UpdateReports['known']

/** What is known of updates of the agent, for the status; `at` turns a moment on the monotonic clock into an instant. */
export function updateParts(
  { trial, last }: Known,
  at: (monotonicMs: number) => string,
): Pick<StatusDocument, 'update'> {
  if (trial === undefined && last === undefined) return {}
  return {
    update: {
      ...(trial === undefined ? {} : { trial: trialPart(trial, at) }),
      ...(last === undefined ? {} : { last: lastPart(last) }),
    },
  }
}

function trialPart(
  { from, to, phase, confirmSeconds, confirmByUptimeMs }: UpdateTrial,
  at: (monotonicMs: number) => string,
): NonNullable<UpdatePart['trial']> {
  const leftMs = (confirmByUptimeMs ?? 0) - Number(process.hrtime.bigint() / 1_000_000n)
  // after a boot it is of the run before until root has begun anew
  const isOfThisBoot = phase === 'watching' && leftMs > 0 && leftMs <= confirmSeconds * 1_000
  return { from, to, phase, ...(isOfThisBoot ? { until: at(monotonicMs() + leftMs) } : {}) }
}

function lastPart({ outcome, from, to, endedAt, reason }: EndedUpdate): NonNullable<UpdatePart['last']> {
  return {
    outcome,
    from,
    to,
    ...(endedAt === undefined ? {} : { at: endedAt }),
    ...(reason === undefined ? {} : { reason }),
  }
}
