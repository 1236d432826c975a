import fc from 'fast-check'
import { expect, test } from 'vitest'

import { putLogEventsJson } from '../../../agent/aws/put-log-events-body.ts'
import { BatchEvents } from '../../../agent/logs/delivery/batch-events.ts'
import type { LogEvent, LogEvents } from '../../../agent/logs/log-destination.ts'
import { TextSlab } from '../../../agent/logs/events/text-slab.ts'
import { sourceEvent } from '../logs/source-events.ts'

const target = { group: '/aws/"group"', stream: 'stream \u00e9' }

test('makes the JSON of any number of events, whatever is in them', () => {
  const message = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
  const event = fc.record({ timestampMs: fc.integer({ min: 0, max: 4e12 }), message })
  const counts = fc.constantFrom(0, 1, 255, 256, 257, 512, 1_000)
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 5 }), counts, (some, count) => {
      const events = Array.from({ length: count }, (_, index) => some[index % some.length] ?? some[0])
      const known = events.filter((each) => each !== undefined)
      expect(jsonOf(known)).toBe(expectedOf(known))
    }),
    { numRuns: 50 },
  )
})

test('makes the same JSON of messages in slabs, mixed with others, in any memory', () => {
  const plain = fc.string({ unit: fc.constantFrom(...plainCharacters()), minLength: 1, maxLength: 30 })
  const verbatim = plain.map((text) => `x${text.replaceAll(/["\\\t]/g, '')}`)
  const timestampMs = fc.oneof(
    fc.constantFrom(0, 999_999_999_999, 1e12, 1e12 + 999_999, 1_001_000_000_000, 9_999_999_999_999, 1e13),
    fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
    fc.integer({ min: 0, max: 4e13 }),
  )
  const event = fc.oneof(
    fc.record({ timestampMs, kind: fc.constant('plain' as const), message: plain }),
    fc.record({ timestampMs, kind: fc.constant('verbatim' as const), message: verbatim }),
    fc.record({
      timestampMs,
      kind: fc.constant('text' as const),
      message: fc.string({ unit: 'binary', minLength: 1 }),
    }),
  )
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.constantFrom(0, 200, 100_000), (events, memoryBytes) => {
      const memory = Buffer.alloc(memoryBytes + 64, 'x')
      expect(jsonOf(inSlabs(events), memory)).toBe(expectedOf(events))
    }),
    { numRuns: 300 },
  )
})

/** ASCII without control characters but tabs. */
function plainCharacters(): readonly string[] {
  return ['\t', ...Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index))]
}

interface PlacedEvent extends LogEvent {
  readonly kind: 'plain' | 'verbatim' | 'text'
}

/** All that are plain in one slab after the other, those that are verbatim in another one. */
function inSlabs(events: readonly PlacedEvent[]): LogEvents {
  const slabs = { plain: slabOf(events, 'plain'), verbatim: slabOf(events, 'verbatim') }
  slabs.verbatim.isVerbatim = true
  const starts = { plain: 0, verbatim: 0 }
  const batch = new BatchEvents(events.length)
  for (const { timestampMs, kind, message } of events) {
    if (kind === 'text') batch.addText(timestampMs, message)
    else {
      const slabStart = starts[kind]
      starts[kind] += message.length
      batch.add(timestampMs, sourceEvent(message, { slab: slabs[kind], slabStart }))
    }
  }
  return batch
}

function slabOf(events: readonly PlacedEvent[], kind: PlacedEvent['kind']): TextSlab {
  const text = events.map((event) => (event.kind === kind ? event.message : '')).join('')
  return new TextSlab(Buffer.from(text, 'latin1'), new Int32Array(0))
}

function jsonOf(events: LogEvents, memory?: Buffer): string {
  return Buffer.from(putLogEventsJson(target, events, memory === undefined ? undefined : () => memory)).toString()
}

function expectedOf(events: readonly LogEvent[]): string {
  const logEvents = events.map(({ timestampMs, message }) => ({ timestamp: timestampMs, message }))
  return JSON.stringify({ logGroupName: target.group, logStreamName: target.stream, logEvents })
}
