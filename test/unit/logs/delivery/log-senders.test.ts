import { expect, test } from 'vitest'

import type { LogSenders } from '../../../../agent/logs/delivery/log-senders.ts'
import { SendParts } from '../send-parts.ts'
import { sourceEvent } from '../source-events.ts'

const target = (stream: string): { readonly group: string; readonly stream: string } => ({ group: 'g', stream })

test('forgets the streams that are no longer written to, but not what is unsent', () => {
  const senders = sendersFor(3)
  senders.of(target('0')).offer(sourceEvent('x'))
  senders.keepOnly([target('1')])
  expect(['0', '1', '2'].map((stream) => senders.find(target(stream)) !== undefined)).toEqual([true, true, false])
})

test('tells streams of the same name apart by their groups', () => {
  const senders = new SendParts().senders()
  expect(senders.of({ group: 'a', stream: 'x' })).not.toBe(senders.of({ group: 'b', stream: 'x' }))
  expect(senders.of({ group: 'a', stream: 'x' })).toBe(senders.of({ group: 'a', stream: 'x' }))
})

function sendersFor(streams: number): LogSenders {
  const senders = new SendParts().senders()
  for (let at = 0; at < streams; at += 1) senders.of(target(String(at)))
  return senders
}
