import { expect, test } from 'vitest'

import { EventQueue } from '../../../../agent/logs/delivery/event-queue.ts'
import { keptEvent } from '../../../../agent/logs/events/source-event.ts'
import { ReadMemory, type TextSlab } from '../../../../agent/logs/events/text-slab.ts'
import { sourceEvent } from '../source-events.ts'

test('is read into again once nobody holds it, and not before', () => {
  const memory = new ReadMemory(16_384)
  const slab = memory.take()
  memory.filled(slab, 16_384)
  slab.release()
  expect(memory.take()).not.toBe(slab)
  slab.release()
  expect(memory.take()).toBe(slab)
})

test('is let go of when there is less to read, but for one', () => {
  const memory = new ReadMemory(16_384)
  const slabs = [memory.take(), memory.take()]
  for (const slab of slabs) slab.release()
  memory.trim()
  expect(slabs).toContain(memory.take())
  expect(slabs).not.toContain(memory.take())
})

test('is held by an event in a queue until that is taken from it', () => {
  const memory = new ReadMemory(16_384)
  const slab = memory.take()
  slab.bytes.write('onetwo', 'latin1')
  const queue = new EventQueue()
  for (const slabStart of [0, 3]) queue.push(sourceEvent('', { messageBytes: 3, slab, slabStart }))
  slab.release()
  expect(queue.heldBytes).toBe(2 * (3 + 26))
  const messages: string[] = []
  queue.shift(1, ({ message }) => messages.push(message))
  expect(memory.take()).not.toBe(slab)
  queue.shift(1, (event) => messages.push(keptEvent(event).message))
  expect(messages).toEqual(['one', 'two'])
  expect(memory.take()).toBe(slab)
})

test('holds what fills at least half of it; less is copied, and little is left to strings', () => {
  const memory = new ReadMemory(16_384)
  const slab = filledWith(memory, 'x'.repeat(8_192))
  expect(memory.filled(slab, 8_192)).toBe(slab)
  const copy = memory.filled(slab, 8_191)
  slab.bytes.fill(0)
  expect(copy).not.toBe(slab)
  expect(copy?.bytes.length).toBe(8_191)
  expect(copy?.textAt(8_000, 191)).toBe('x'.repeat(191))
  expect(memory.filled(slab, 4_095)).toBeUndefined()
})

test.each([
  ['a quotation mark', '"'],
  ['a backslash', '\\'],
  ['a tab', '\t'],
])('knows whether %s is to be escaped in what was read, not in what was read before', (_, text) => {
  const memory = new ReadMemory(16_384)
  const slab = filledWith(memory, `${'x'.repeat(10_000)}${text}`)
  expect(memory.filled(slab, 10_000)?.isVerbatim).toBe(true)
  expect(memory.filled(slab, 10_001)?.isVerbatim).toBe(false)
})

function filledWith(memory: ReadMemory, text: string): TextSlab {
  const slab = memory.take()
  slab.bytes.write(text, 'latin1')
  return slab
}
