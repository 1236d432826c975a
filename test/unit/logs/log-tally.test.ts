import { expect, test } from 'vitest'

import { LogTally } from '../../../agent/logs/log-tally.ts'
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
