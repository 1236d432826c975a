import { expect, test } from 'vitest'

import { LogCounts, LogTally } from '../../../agent/logs/log-tally.ts'
import { RecordingLog } from '../../support/recording-log.ts'

const journal = { target: { group: 'g', stream: 's' }, source: 'the journal' }

test('reports also what is missing in an amount that nobody knows: a loss as an error, what was left out as a warning', () => {
  const log = new RecordingLog()
  const lost = new LogTally(log)
  lost.missing({ ...journal, reason: 'vacuumed' })
  lost.report()
  const leftOut = new LogTally(log)
  leftOut.missing({ ...journal, reason: 'too far behind', firstMs: 1, lastMs: 2 })
  leftOut.report()
  expect(log.entries).toEqual([
    { level: 'error', message: 'log events were lost', fields: { unknownAmounts: 1 } },
    { level: 'warn', message: 'log events were left out', fields: { leftOutUnknownAmounts: 1 } },
  ])
})

test('what was lost is counted on by the log worker that follows, and reported by each for itself', () => {
  const counts = new LogCounts()
  const [first, second] = [new RecordingLog(), new RecordingLog()]
  const before = new LogTally(first, counts)
  before.accepted(5)
  before.lost({ dropped: 2, removedBytes: 30 })
  before.report()
  const after = new LogTally(second, counts)
  expect(after.totals).toEqual({ accepted: 5, lost: 2, lostBytes: 30, leftOut: 0, leftOutBytes: 0 })
  after.lost({ refused: 1 })
  after.leftOut({ events: 4, bytes: 7 })
  after.report()
  expect(after.totals).toEqual({ accepted: 5, lost: 3, lostBytes: 30, leftOut: 4, leftOutBytes: 7 })
  expect(first.entries.map(({ fields }) => fields)).toEqual([{ dropped: 2, removedBytes: 30 }])
  expect(second.entries.map(({ fields }) => fields)).toEqual([{ refused: 1, leftOutEvents: 4, leftOutBytes: 7 }])
})
