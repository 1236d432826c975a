import { expect, test } from 'vitest'

import { createLog } from '../../../agent/lib/log.ts'
import type { LogTarget } from '../../../agent/logs/log-destination.ts'
import { LogSenders } from '../../../agent/logs/log-senders.ts'
import { LogTally } from '../../../agent/logs/log-tally.ts'
import { FakeLogDestination } from '../../support/fake-log-destination.ts'

test('gives each stream a batch of memory, or its part of 4 MiB, or a little in any case', () => {
  expect(sendersFor(1).shareBytes).toBe(1_048_576)
  expect(sendersFor(16).shareBytes).toBe(262_144)
  expect(sendersFor(1_000).shareBytes).toBe(16_384)
})

test('forgets the streams that are no longer written to, but not what is unsent', () => {
  const senders = sendersFor(3)
  senders.of(target('0')).offer({ message: 'x', messageBytes: 1, readAtMs: 0, dueAtMs: Infinity, endBytes: 1 })
  senders.keepOnly([target('1')])
  expect(['0', '1', '2'].map((stream) => senders.find(target(stream)) !== undefined)).toEqual([true, true, false])
})

function sendersFor(streams: number): LogSenders {
  const tally = new LogTally(createLog({ level: 'error', sinks: [] }))
  const senders = new LogSenders({ group: 'g', destination: new FakeLogDestination(), cloudNow: Date.now, tally })
  for (let at = 0; at < streams; at += 1) senders.of(target(String(at)))
  return senders
}

function target(stream: string): LogTarget {
  return { group: 'g', stream }
}
