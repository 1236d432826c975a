import type { ServerClock } from '../../credentials/server-clock.ts'
import { processId } from '../../lib/process-id.ts'
import { redactText } from '../../lib/redact.ts'
import type { LogRing } from '../../logs/log-ring.ts'
import type { LogStreamStatus } from '../../logs/log-status.ts'
import type { LogStreamPart, RecentLogs } from '../../status/recent-logs-document.ts'

export interface RecentLogsSources {
  /** Lines are numbered from 1 by how many it ever got, so it must never be emptied. */
  readonly recent: Pick<LogRing, 'lines' | 'dropped'>
  /** Undefined while the appliance has no identity. */
  readonly streams: readonly LogStreamStatus[] | undefined
  readonly clock: Pick<ServerClock, 'now' | 'timeOf'>
}

/** The lines of the agent's own log after a number, redacted once more, and what waits for its upload. */
export function recentLogs({ recent, streams, clock }: RecentLogsSources, after: number): RecentLogs {
  const first = recent.dropped + 1
  const lines = recent.lines.map(({ text }, index) => ({ number: first + index, text }))
  const at = (monotonicMs: number): string => new Date(clock.timeOf(monotonicMs)).toISOString()
  return {
    version: 1,
    run: processId(),
    now: new Date(clock.now()).toISOString(),
    lines: lines.filter(({ number }) => number > after).map(({ number, text }) => ({ number, text: redactText(text) })),
    provisioned: streams !== undefined,
    streams: (streams ?? []).map((stream) => streamPart(stream, at)),
  }
}

function streamPart(
  { sinceMs, nextAttemptMs, lastAcceptedAtMs, ...stream }: LogStreamStatus,
  at: (monotonicMs: number) => string,
): LogStreamPart {
  return {
    ...stream,
    ...(sinceMs === undefined ? {} : { since: at(sinceMs) }),
    ...(nextAttemptMs === undefined ? {} : { nextAttemptAt: at(nextAttemptMs) }),
    ...(lastAcceptedAtMs === undefined ? {} : { lastAcceptedAt: at(lastAcceptedAtMs) }),
  }
}
