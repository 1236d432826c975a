import { generate, type Packet } from 'mqtt-packet'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { MqttFrames, MqttViolation } from '../../../cloud/iot/mqtt-frames.ts'

const version = { protocolVersion: 5 }
const packets: readonly Packet[] = [
  { cmd: 'publish', topic: 'a/b', payload: Buffer.alloc(300, 'x'), qos: 1, dup: false, retain: false, messageId: 7 },
  { cmd: 'pingreq' },
  { cmd: 'subscribe', messageId: 8, subscriptions: [{ topic: 'a', qos: 1 }] },
  { cmd: 'disconnect', reasonCode: 0 },
]

test('finds the same packets however the bytes are cut', () => {
  const bytes = Buffer.concat(packets.map((packet) => generate(packet, version)))

  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
      const frames = new MqttFrames(1000)
      frames.useVersion(5)
      const ends = [...cuts.toSorted((a, b) => a - b), bytes.length]
      const found = ends.flatMap((end, index) => [...frames.push(bytes.subarray(ends[index - 1] ?? 0, end))])

      expect(found.map(({ packet }) => packet.cmd)).toEqual(packets.map(({ cmd }) => cmd))
      expect(Buffer.concat(found.map((frame) => frame.bytes))).toEqual(bytes)
    }),
  )
})

test('refuses a packet that is too large as soon as its length is known', () => {
  const frames = new MqttFrames(100)

  expect(() => [...frames.push(Buffer.from([0x30, 0xff, 0x7f]))]).toThrow(
    expect.objectContaining({ name: 'MqttViolation', reasonCode: 0x95 }),
  )
})

test('meets any bytes with packets or an MqttViolation, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (noise) => {
      const frames = new MqttFrames(1000)
      frames.useVersion(5)
      try {
        for (const { packet } of frames.push(Buffer.from(noise))) expect(packet.cmd).toBeTypeOf('string')
      } catch (error) {
        expect(error).toBeInstanceOf(MqttViolation)
      }
    }),
    { numRuns: 2000 },
  )
})
