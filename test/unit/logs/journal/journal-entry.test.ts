import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseJournalEntry } from '../../../../agent/logs/journal/journal-entry.ts'
import { JournalLines } from '../../../../agent/logs/journal/journal-lines.ts'
import { fakeCursor, thisBoot } from '../../../support/fake-journalctl.ts'

const addressed = {
  __CURSOR: fakeCursor(1),
  __REALTIME_TIMESTAMP: '1700000000001000',
  __MONOTONIC_TIMESTAMP: '5001000',
  _BOOT_ID: thisBoot,
}

function parsed(fields: Readonly<Record<string, unknown>>): ReturnType<typeof parseJournalEntry> {
  return parseJournalEntry(JSON.stringify({ ...addressed, ...fields }))
}

describe('parseJournalEntry', () => {
  it('reads what journalctl of systemd 252 printed', () => {
    const line =
      '{"_PID":"1","__CURSOR":"s=af6c741bb964476ead16711e03d3b760;i=3b;b=85949b8fb38b4597bc8efe0e282720e5;m=3fe23de4;t=6614620b92661;x=11cef5d6e105e380","__REALTIME_TIMESTAMP":"1795803684873825","__MONOTONIC_TIMESTAMP":"1071791588","UNIT":"hello.service","_SYSTEMD_UNIT":"init.scope","SYSLOG_IDENTIFIER":"systemd","MESSAGE":"Started hello.service.","PRIORITY":"6","_BOOT_ID":"85949b8fb38b4597bc8efe0e282720e5","_TRANSPORT":"journal"}'
    expect(parseJournalEntry(line)).toEqual({
      position: {
        cursor:
          's=af6c741bb964476ead16711e03d3b760;i=3b;b=85949b8fb38b4597bc8efe0e282720e5;m=3fe23de4;t=6614620b92661;x=11cef5d6e105e380',
        bootId: '85949b8fb38b4597bc8efe0e282720e5',
        monotonicUs: 1_071_791_588,
        realtimeUs: 1_795_803_684_873_825,
      },
      message: 'Started hello.service.',
      priority: 6,
      unit: 'init.scope',
      aboutUnit: 'hello.service',
      transport: 'journal',
      identifier: 'systemd',
      pid: '1',
    })
  })

  it.each([
    ['text', 'plain \u00fc', 'plain \u00fc'],
    ['bytes', [98, 105, 110, 0, 255, 120], 'bin\u2400\ufffdx'],
    ['coloured text, which comes as bytes', [27, 91, 51, 49, 109, 114], '␛[31mr'],
    ['several texts', ['one', 'two'], 'one\ntwo'],
    [
      'several of bytes',
      [
        [111, 110, 101],
        [116, 1],
      ],
      'one\nt␁',
    ],
    ['nothing', '', ''],
    ['no bytes', [], ''],
    ['too long a text', null, '[journalctl left this message out because of its length]'],
  ])('reads a message of %s', (_what, MESSAGE, message) => {
    expect(parsed({ MESSAGE })?.message).toBe(message)
  })

  it('takes the first of several values of a field that can have one only', () => {
    expect(parsed({ PRIORITY: ['3', '6'], SYSLOG_IDENTIFIER: [[97, 98], [99]] })).toMatchObject({
      priority: 3,
      identifier: 'ab',
    })
  })

  it('knows an entry without a message and without a unit', () => {
    expect(parsed({})).toMatchObject({ message: undefined, unit: undefined, priority: undefined })
  })

  it.each([
    ['no JSON', '{"MESSAGE":'],
    ['no object', '"text"'],
    ['no cursor', JSON.stringify({ ...addressed, __CURSOR: undefined })],
    ['a cursor that no argument could be', JSON.stringify({ ...addressed, __CURSOR: 'a b' })],
    ['no boot', JSON.stringify({ ...addressed, _BOOT_ID: 'x' })],
    ['no time', JSON.stringify({ ...addressed, __MONOTONIC_TIMESTAMP: 'x' })],
  ])('answers nothing for a line with %s', (_what, line) => {
    expect(parseJournalEntry(line)).toBeUndefined()
  })

  it('survives any input', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), fc.jsonValue(), (text, value) => {
        parseJournalEntry(text)
        expect(parsed({ MESSAGE: value, PRIORITY: value, _PID: value })?.position.cursor).toBe(fakeCursor(1))
      }),
    )
  })
})

describe('JournalLines', () => {
  it('finds the same lines however the output is cut', () => {
    const line = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 12 }), fc.constant('x'.repeat(40)))
    fc.assert(
      fc.property(fc.array(line), fc.infiniteStream(fc.integer({ min: 1, max: 9 })), (texts, sizes) => {
        const clean = texts.map((text) => text.replaceAll('\n', ''))
        const output = Buffer.from(clean.map((text) => `${text}\n`).join(''))
        const lines = new JournalLines(30)
        const got: unknown[] = []
        for (let start = 0; start < output.length;) {
          const [size = 1] = sizes.take(1)
          got.push(...lines.push(output.subarray(start, start + size)))
          start += size
        }
        const expected = clean
          .map((text) => ({ text, bytes: Buffer.byteLength(text) }))
          .filter(({ bytes }) => bytes > 0)
        expect(got).toEqual(expected.map((one) => (one.bytes > 30 ? { tooLongBytes: one.bytes } : one)))
      }),
    )
  })
})
