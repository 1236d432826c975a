import type { GapRecord } from '../log-source.ts'

const explanations: Readonly<Record<GapRecord['reason'], string>> = {
  rotated: 'removed before they could be sent',
  vacuumed: 'removed from the journal before they could be sent',
  'too far behind': 'left out, because the upload was too far behind',
  level: 'left out for their low level, because the upload was behind',
  dropped: 'dropped for want of room',
  refused: 'refused by CloudWatch Logs',
}

/** A gap record as an event: one line of JSON, of which CloudWatch Logs Insights finds the fields by itself. */
export function renderGapRecord(gap: GapRecord): string {
  const { source, reason, bytes, lines, firstMs, lastMs } = gap
  const from = instant(firstMs)
  const to = instant(lastMs)
  const amount = [count(lines, 'line'), count(bytes, 'byte')].filter((text) => text !== undefined)
  const what = `${amount.length === 0 ? 'an unknown amount' : amount.join(', ')} of ${source}`
  const range = from === undefined || to === undefined ? '' : `, between ${from} and ${to}`
  const message = `${what}, ${explanations[reason]}${range}`
  return JSON.stringify({
    panoramaAgent: 'gap',
    reason,
    source: source.slice(0, 4_096),
    bytes,
    lines,
    from,
    to,
    message,
  })
}

/** One record of all that two records of the same target, source and reason tell. */
export function mergeGaps(one: GapRecord, other: GapRecord): GapRecord {
  return withoutUndefined({
    ...one,
    bytes: sum(one.bytes, other.bytes),
    lines: sum(one.lines, other.lines),
    firstMs: either(one.firstMs, other.firstMs, Math.min),
    lastMs: either(one.lastMs, other.lastMs, Math.max),
  })
}

/** Says, before the first of a run of events, that their times are not those that they were written at. */
export function clockRecord({ timeMs, timestampMs }: { timeMs: number; timestampMs: number }): string {
  const isMoved = timeMs !== timestampMs
  const stated = instant(timeMs)
  const sentAs = instant(timestampMs)
  const message = isMoved
    ? `the time of the events from here on (${stated ?? 'out of all bounds'}) is none that CloudWatch Logs takes: they are sent with the nearest that it does`
    : 'the events from here on were written by a clock that may have been wrong, and keep the time that it told'
  return JSON.stringify({ panoramaAgent: 'clock', reason: isMoved ? 'moved' : 'in doubt', stated, sentAs, message })
}

interface LooseGap extends Pick<GapRecord, 'target' | 'source' | 'reason'> {
  readonly bytes: number | undefined
  readonly lines: number | undefined
  readonly firstMs: number | undefined
  readonly lastMs: number | undefined
}

/** A gap record without the fields of which nothing is known. */
export function withoutUndefined({ target, source, reason, bytes, lines, firstMs, lastMs }: LooseGap): GapRecord {
  return {
    target,
    source,
    reason,
    ...(bytes === undefined ? {} : { bytes }),
    ...(lines === undefined ? {} : { lines }),
    ...(firstMs === undefined ? {} : { firstMs }),
    ...(lastMs === undefined ? {} : { lastMs }),
  }
}

/** Of what is not known of one, nothing is known of both. */
function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one + other
}

function either(
  one: number | undefined,
  other: number | undefined,
  join: (one: number, other: number) => number,
): number | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return join(one, other)
}

function instant(ms: number | undefined): string | undefined {
  if (ms === undefined || !(Math.abs(ms) <= 8.64e15)) return undefined
  return new Date(ms).toISOString()
}

function count(number: number | undefined, one: string): string | undefined {
  if (number === undefined) return undefined
  return `${number} ${number === 1 ? one : `${one}s`}`
}
