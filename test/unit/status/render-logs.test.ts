import { expect, test } from 'vitest'

import { colourPaint } from '../../../agent/lib/terminal-text.ts'
import { logLineText, waitingLines } from '../../../agent/status/render-logs.ts'
import type { LogStreamPart, RecentLogs } from '../../../agent/status/recent-logs-document.ts'

const stream = { state: 'ok', group: '/group', events: 0, bytes: 0, lagSeconds: 0, gapsPending: 0 }

function recent(...streams: readonly LogStreamPart[]): RecentLogs {
  return { version: 1, run: 'r', now: '2027-01-01T01:00:00.000Z', lines: [], provisioned: true, streams }
}

function shown(...streams: readonly LogStreamPart[]): readonly string[] {
  return waitingLines(recent(...streams), {}).map((line) => line.trim().replace(/\s+/g, ' '))
}

test('says that nothing waits', () => {
  expect(shown({ ...stream, stream: 'occ_log' })).toEqual(['Nothing waits for its upload (1 log stream)'])
})

test('says that nothing is uploaded before there is an identity', () => {
  const lines = waitingLines({ ...recent(), provisioned: false }, { width: 60 })
  expect(lines.join(' ')).toBe(
    'Nothing is uploaded before the appliance has an identity; what is logged waits for it. panorama-agent status says what is missing',
  )
  expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(60)
})

test('shows each stream with what waits in it, since when, and what holds it up', () => {
  const lastError = { name: 'AwsError', message: 'denied', hint: 'allow it' }
  const lines = shown(
    { ...stream, stream: 'a', events: 2, bytes: 300, backlogBytes: 5_000_000, lagSeconds: 7_200, gapsPending: 1 },
    {
      ...stream,
      stream: 'b',
      state: 'failing',
      lastError,
      nextAttemptAt: '2027-01-01T01:00:40.000Z',
      lastAcceptedAt: '2027-01-01T00:30:00.000Z',
    },
    { ...stream, stream: 'c' },
  )
  expect(lines).toEqual([
    'Waiting for their upload:',
    'a ok 5.0 MB, 2 events of it read, the oldest 2 h old, 1 gap record, nothing accepted yet, to /group',
    'b failing 0 events of it read, last accepted 30 min ago, to /group, next attempt in 40 s',
    'error denied',
    'hint allow it',
    'and 1 stream ok nothing waits',
  ])
})

test('passes no control character of a line on, and colours what is odd or lost', () => {
  expect(logLineText('2027-01-01T00:00:00.000Z INFO  a\u001b[2J\nb', { paint: colourPaint })).toBe(
    '2027-01-01T00:00:00.000Z INFO  a\\x1b[2J\\x0ab',
  )
  const line = '2027-01-01T00:00:00.000Z ERROR logs: lost'
  expect(logLineText(line, { paint: colourPaint })).toBe(`\u001b[31m${line}\u001b[0m`)
  expect(logLineText(line, {})).toBe(line)
})
