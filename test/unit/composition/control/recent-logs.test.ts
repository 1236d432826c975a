import { expect, test } from 'vitest'

import { recentLogs } from '../../../../agent/composition/control/recent-logs.ts'
import { LogRing } from '../../../../agent/logs/log-ring.ts'

const clock = { now: () => 0, timeOf: (monotonicMs: number) => monotonicMs }

function ask(recent: LogRing, after: number): readonly { readonly number: number; readonly text: string }[] {
  return recentLogs({ recent, streams: [], clock }, after).lines
}

test('numbers lines over what the ring had to let go, and answers those after a number', () => {
  const ring = new LogRing({ maxLines: 2 })
  for (const text of ['one', 'two', 'three']) ring.sink({ level: 'info', text })
  expect(ask(ring, 0)).toEqual([
    { number: 2, text: 'two' },
    { number: 3, text: 'three' },
  ])
  expect(ask(ring, 2)).toEqual([{ number: 3, text: 'three' }])
  expect(ask(ring, 3)).toEqual([])
})

test('tells an appliance without identity from one of which nothing waits', () => {
  const sources = { recent: new LogRing(), clock }
  expect(recentLogs({ ...sources, streams: undefined }, 0)).toMatchObject({ provisioned: false, streams: [] })
  expect(recentLogs({ ...sources, streams: [] }, 0)).toMatchObject({ provisioned: true, streams: [] })
})

test('redacts what gives a secret away by its shape', () => {
  const ring = new LogRing()
  ring.sink({ level: 'info', text: 'rtsp://viewer:secret@dock-1/1' })
  expect(ask(ring, 0)).toEqual([{ number: 1, text: 'rtsp://[redacted]@dock-1/1' }])
})
