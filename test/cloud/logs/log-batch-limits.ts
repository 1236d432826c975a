import { brokenConstraint, invalidParameter } from './logs-faults.ts'

export interface InputLogEvent {
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly message: string
}

/** Indexes as AWS gives them: `Start` is the first that is rejected, `End` the first behind those that are. */
interface RejectedLogEventsInfo {
  readonly tooNewLogEventStartIndex?: number
  readonly tooOldLogEventEndIndex?: number
  readonly expiredLogEventEndIndex?: number
}

export interface JudgedBatch {
  readonly accepted: readonly InputLogEvent[]
  readonly rejected: RejectedLogEventsInfo | undefined
}

export interface BatchClock {
  readonly nowMs: number
  readonly retentionDays: number | undefined
}

const maxEvents = 10_000
const maxBatchBytes = 1_048_576
const overheadBytes = 26
const dayMs = 86_400_000
const hourMs = 3_600_000

/** What an event counts against the batch: its UTF-8 bytes and 26 more. */
export function eventBytes({ message }: InputLogEvent): number {
  return Buffer.byteLength(message) + overheadBytes
}

/**
 * Judges a batch by the constraints of PutLogEvents. Throws InvalidParameterException, and takes nothing, for a batch
 * that is empty, has more than 10,000 events or 1,048,576 bytes, an empty message, a timestamp below 0, is not in
 * chronological order, or whose valid events span more than 24 hours. Events more than 2 hours ahead, more than 14 days
 * old, or older than the group's retention are set aside, and the rest is accepted.
 *
 * "Each log event can be no larger than 1 MB" is read strictly: 1,048,576 bytes with the 26 counted, so a message has
 * at most 1,048,550. (1,000,000 it cannot be: Amazon's own agent sends events of up to 200 bytes below 1,048,576.)
 * Order is demanded of the events that are set aside, too.
 */
export function judgeBatch(events: readonly InputLogEvent[], clock: BatchClock): JudgedBatch {
  checkCount(events)
  events.forEach(checkEvent)
  checkBytes(events)
  checkOrder(events)
  const bounds = findBounds(events, clock)
  const accepted = events.slice(Math.max(bounds.tooOldEnd, bounds.expiredEnd), bounds.tooNewStart)
  checkSpan(accepted)
  return { accepted, rejected: describeRejected(bounds, events.length) }
}

function checkCount({ length }: readonly InputLogEvent[]): void {
  if (length === 0) throw brokenConstraint('[]', 'logEvents', 'Member must have length greater than or equal to 1')
  if (length > maxEvents) {
    throw brokenConstraint('[...]', 'logEvents', `Member must have length less than or equal to ${maxEvents}`)
  }
}

function checkEvent(event: InputLogEvent, index: number): void {
  const member = `logEvents.${index + 1}.member`
  if (event.message === '') {
    throw brokenConstraint('', `${member}.message`, 'Member must have length greater than or equal to 1')
  }
  if (event.timestamp < 0) {
    const constraint = 'Member must have value greater than or equal to 0'
    throw brokenConstraint(String(event.timestamp), `${member}.timestamp`, constraint)
  }
  const bytes = eventBytes(event)
  if (bytes > maxBatchBytes) {
    throw invalidParameter(`Log event too large: ${bytes} bytes exceeds limit of ${maxBatchBytes}`)
  }
}

function checkBytes(events: readonly InputLogEvent[]): void {
  const bytes = events.reduce((sum, event) => sum + eventBytes(event), 0)
  if (bytes > maxBatchBytes) {
    throw invalidParameter(`Upload too large: ${bytes} bytes exceeds limit of ${maxBatchBytes}`)
  }
}

function checkOrder(events: readonly InputLogEvent[]): void {
  const early = events.some(({ timestamp }, index) => timestamp < (events[index - 1]?.timestamp ?? 0))
  if (early) throw invalidParameter('Log events in a single PutLogEvents request must be in chronological order.')
}

interface Bounds {
  readonly tooOldEnd: number
  readonly expiredEnd: number
  readonly tooNewStart: number
}

function findBounds(events: readonly InputLogEvent[], { nowMs, retentionDays }: BatchClock): Bounds {
  const firstFrom = (ms: number): number => {
    const index = events.findIndex(({ timestamp }) => timestamp >= ms)
    return index < 0 ? events.length : index
  }
  return {
    tooOldEnd: firstFrom(nowMs - 14 * dayMs),
    expiredEnd: retentionDays === undefined ? 0 : firstFrom(nowMs - retentionDays * dayMs),
    tooNewStart: firstFrom(nowMs + 2 * hourMs + 1),
  }
}

function checkSpan(valid: readonly InputLogEvent[]): void {
  const [first, last] = [valid[0], valid.at(-1)]
  if (first !== undefined && last !== undefined && last.timestamp - first.timestamp > dayMs) {
    throw invalidParameter('The batch of log events in a single PutLogEvents request cannot span more than 24 hours.')
  }
}

function describeRejected({ tooOldEnd, expiredEnd, tooNewStart }: Bounds, count: number): JudgedBatch['rejected'] {
  const rejected: RejectedLogEventsInfo = {
    ...(tooNewStart < count ? { tooNewLogEventStartIndex: tooNewStart } : {}),
    ...(tooOldEnd > 0 ? { tooOldLogEventEndIndex: tooOldEnd } : {}),
    ...(expiredEnd > tooOldEnd ? { expiredLogEventEndIndex: expiredEnd } : {}),
  }
  return Object.keys(rejected).length === 0 ? undefined : rejected
}
