import fc from 'fast-check'
import { expect, test } from 'vitest'

import { putLogEventsJson } from '../../../agent/aws/put-log-events-body.ts'

const target = { group: '/aws/"group"', stream: 'stream \u00e9' }

test('makes the JSON of any number of events, whatever is in them', () => {
  const message = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 })
  const event = fc.record({ timestampMs: fc.integer({ min: 0, max: 4e12 }), message })
  const counts = fc.constantFrom(0, 1, 255, 256, 257, 512, 1_000)
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 5 }), counts, (some, count) => {
      const events = Array.from({ length: count }, (_, index) => some[index % some.length] ?? some[0])
      const known = events.filter((each) => each !== undefined)
      const logEvents = known.map(({ timestampMs, message }) => ({ timestamp: timestampMs, message }))
      const expected = JSON.stringify({ logGroupName: target.group, logStreamName: target.stream, logEvents })
      expect(Buffer.from(putLogEventsJson(target, known)).toString()).toBe(expected)
    }),
    { numRuns: 50 },
  )
})
