import { expect, test } from 'vitest'

import { LogDrain } from '../../../agent/status/log-drain.ts'
import { percentOf, transferLines, transfersOf } from '../../../agent/status/transfer-bars.ts'
import { statusDocument } from '../../support/status-document.ts'

const artifact = { state: 'ok', files: 3, bytes: 99, fetchedFiles: 0, fetchedBytes: 0, phase: 'idle' }
const progress = { files: 1, totalFiles: 3, bytes: 400_000_000, totalBytes: 2_700_000_000 }

test('tells what is on its way: downloads, verifications, a backlog of logs', () => {
  const status = statusDocument({
    artifacts: [
      { ...artifact, name: 'idle' },
      { ...artifact, name: 'model', phase: 'downloading', progress: { ...progress, bytesPerSecond: 5 } },
      { ...artifact, name: 'code', verification: progress },
    ],
  })
  expect(transfersOf(status, undefined).map(({ what }) => what)).toEqual([
    'artifact model: downloading',
    'artifact code: verifying',
  ])
  expect(transfersOf(statusDocument(), { sentBytes: 1, totalBytes: 5, bytesPerSecond: 2 })).toEqual([
    { what: 'logs: catching up', bytes: 1, totalBytes: 5, bytesPerSecond: 2, remainingSeconds: 2 },
  ])
})

test('shows a transfer in two lines, as wide as there is room', () => {
  const transfer = {
    what: 'artifact model: downloading',
    ...progress,
    bytesPerSecond: 3_400_000,
    remainingSeconds: 676,
  }
  expect(transferLines(transfer, 60)).toEqual([
    'artifact model: downloading 400 MB of 2.7 GB, 3.4 MB/s, 1...',
    '  [#######...........................................]  14 %',
  ])
  expect(transferLines(transfer, 200)[0]).toContain('11 min left')
  for (const width of [10, 20, 79, 300]) {
    for (const line of transferLines(transfer, width)) expect(line.length).toBeLessThanOrEqual(width)
  }
})

test('says 100 percent only when all is there', () => {
  const what = 'a'
  expect(percentOf({ what, bytes: 999_999, totalBytes: 1_000_000 })).toBe(99)
  expect(percentOf({ what, bytes: 1_000_000, totalBytes: 1_000_000 })).toBe(100)
  expect(percentOf({ what, bytes: 0, totalBytes: 0 })).toBe(100)
})

test('takes the most that waited for the whole of a backlog, and says how fast it goes', () => {
  const drain = new LogDrain()
  drain.note(100, 0)
  expect(drain.progress).toBe(undefined)
  drain.note(10_000_000, 1_000)
  expect(drain.progress).toEqual({ sentBytes: 0, totalBytes: 10_000_000, bytesPerSecond: undefined })
  for (let second = 2; second <= 60; second += 1) drain.note(10_000_000 - (second - 1) * 100_000, second * 1_000)
  expect(drain.progress).toMatchObject({ sentBytes: 5_900_000, totalBytes: 10_000_000 })
  const rate = drain.progress?.bytesPerSecond ?? 0
  expect(rate).toBeGreaterThan(0)
  expect(rate).toBeLessThanOrEqual(100_000)
  drain.note(500, 61_000)
  expect(drain.progress).toBe(undefined)
})
