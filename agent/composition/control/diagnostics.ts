import type { DoctorReport } from '../../doctor/doctor-check.ts'
import { AgentError } from '../../lib/errors.ts'
import { redactText } from '../../lib/redact.ts'
import type { LogDestination, LogEvent, LogTarget } from '../../logs/log-destination.ts'
import type { LogRing } from '../../logs/log-ring.ts'
import type { StatusDocument } from '../../status/status-document.ts'

export interface DiagnosticsOptions {
  readonly target: LogTarget
  readonly destination: LogDestination
  readonly status: StatusDocument
  readonly doctor: DoctorReport
  readonly recent: Pick<LogRing, 'lines'>
  readonly logLines: number
  /** Milliseconds since 1970 in cloud time. */
  readonly nowMs: number
}

const maxBatchEvents = 500
const maxBatchCharacters = 250_000
const maxMessageCharacters = 100_000

/**
 * Sends the status, part by part, what the doctor found, and the last lines of the agent's own log, redacted once more, to a log stream, which is made
 * where it is not there. Answers how many events that were; rejects when they were not all accepted.
 */
export async function sendDiagnostics(options: DiagnosticsOptions, signal: AbortSignal): Promise<number> {
  const { target, destination, recent, logLines, nowMs, status, doctor } = options
  const lines = logLines === 0 ? [] : recent.lines.slice(-logLines).map(({ text }) => text)
  const events = [...partsOf(status), ...partsOf({ doctor: doctor.findings }), ...lines].map((text): LogEvent => ({
    timestampMs: Math.floor(nowMs),
    message: redactText(text).slice(0, maxMessageCharacters),
  }))
  if ((await destination.createStream(target, signal)) === 'no-group') {
    await destination.createGroup(target.group, signal)
    await destination.createStream(target, signal)
  }
  for (const batch of batches(events)) {
    const outcome = await destination.put(target, batch, signal)
    if (outcome.kind === 'no-stream') throw streamGone(target)
    if (outcome.kind !== 'accepted') throw outcome.error
  }
  return events.length
}

function partsOf(document: object): readonly string[] {
  return Object.entries(document).flatMap(([part, value]: [string, unknown]) =>
    Array.isArray(value)
      ? value.map((each: unknown, index) => JSON.stringify({ part: `${part}[${index}]`, value: each }))
      : [JSON.stringify({ part, value })],
  )
}

function batches(events: readonly LogEvent[]): readonly (readonly LogEvent[])[] {
  const made: LogEvent[][] = []
  let characters = Infinity
  for (const event of events) {
    const last = made.at(-1)
    if (
      last === undefined ||
      last.length === maxBatchEvents ||
      characters + event.message.length > maxBatchCharacters
    ) {
      made.push([event])
      characters = event.message.length
    } else {
      last.push(event)
      characters += event.message.length
    }
  }
  return made
}

function streamGone({ group, stream }: LogTarget): AgentError {
  return new AgentError(`the log stream ${stream} of ${group} was deleted while it was written to`, {
    hint: 'make the job again: each job has a stream of its own',
  })
}
