import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'

import { TimestampReader } from '../../../../agent/logs/events/timestamp-reader.ts'

const atMs = Date.UTC(2023, 1, 14, 11, 53, 9)
const zone = process.env['TZ']

afterEach(() => {
  vi.useRealTimers()
  setZone(zone)
})

describe('reads', () => {
  test.for([
    ['2023-02-14 11:53:09', atMs],
    ['2023-02-14 11:53:09 INFO     INITIALIZING APPLICATION', atMs],
    ['2023-02-14 11:53:09.240 WARN loadApplicationGraph(338) text', atMs + 240],
    ['2023-02-14 11:53:09,240 INFO', atMs + 240],
    ['2023-02-14 11:53:09.2: text', atMs + 200],
    ['2023-02-14 11:53:09.24 text', atMs + 240],
    ['2023-02-14 11:53:09.240999999 text', atMs + 240],
    ['2023-02-14 11:53:09, text', atMs],
    ['2023-02-14 11:53:09 - text', atMs],
    ['2023-02-14 11:53:09+01:00 text', atMs - 3_600_000],
    ['2023-02-14T11:53:09Z text', atMs],
    ['2023-02-14T11:53:09.240Z', atMs + 240],
    ['2023-02-14T11:53:09.240+0530 text', atMs + 240 - 19_800_000],
    ['2023-02-14T11:53:09-08 text', atMs + 28_800_000],
    ['[2023-02-14 11:53:09.240] text', atMs + 240],
    ['[2023-02-14T11:53:09Z] text', atMs],
    ['2023-02-14 23:59:60 leap second', Date.UTC(2023, 1, 14, 23, 59, 59)],
    ['2024-02-29 00:00:00 leap day', Date.UTC(2024, 1, 29)],
    ['1676375589 text', atMs],
    ['1676375589.240 text', atMs + 240],
    ['[1676375589.240123] text', atMs + 240],
    ['1676375589240 text', atMs + 240],
    ['1676375589240', atMs + 240],
  ] as const)('%s', ([line, expected]) => {
    expect(new TimestampReader('utc').read(line)).toBe(expected)
  })
})

describe('takes for no time', () => {
  test.for([
    '',
    '[',
    'text',
    'Error: something',
    '2023-02-14',
    '2023-02-14 11:53',
    '2023-13-14 11:53:09',
    '2023-00-14 11:53:09',
    '2023-02-30 11:53:09',
    '2023-02-29 11:53:09',
    '2023-02-00 11:53:09',
    '2023-02-14 24:00:00',
    '2023-02-14 11:60:09',
    '2023-02-14 11:53:61',
    '2023-02-14 11:53:0x',
    '2023-02-14 11:53:091',
    '2023-02-14T11:53:09abc',
    '2023-02-14_11:53:09',
    '2023/02/14-11:53:09',
    '0023-02-14 11:53:09',
    '16763755890 eleven digits',
    '167637558924 twelve digits',
    '16763755892401 fourteen digits',
    '1234567890 from 2009',
    '1676375589frames',
    '1676375589-3',
    '9999999999999 far ahead',
    'Foo 14 11:53:09 text',
    'anF 14 11:53:09 text',
    'Feb 30 11:53:09 text',
    'Feb 14 25:53:09 text',
    'Feb xx 11:53:09 text',
  ])('%s', (line) => {
    expect(new TimestampReader('utc').read(line)).toBeUndefined()
  })
})

test('reads no time twice in a row as no time', () => {
  const reader = new TimestampReader('utc')
  expect([reader.read('2023-02-30 11:53:09'), reader.read('2023-02-30 11:53:09')]).toEqual([undefined, undefined])
})

describe('a syslog time', () => {
  test.for([
    ['2026-03-01T00:00:00Z', 'Feb 14 11:53:09 host app: text', '2026-02-14T11:53:09Z'],
    ['2026-03-01T00:00:00Z', '[Feb  4 11:53:09] text', '2026-02-04T11:53:09Z'],
    ['2026-03-01T00:00:00Z', 'Feb 14 11:53:09.240 text', '2026-02-14T11:53:09.240Z'],
    ['2026-03-01T00:00:00Z', 'Mar  1 23:00:00 text', '2026-03-01T23:00:00Z'],
    ['2026-03-01T00:00:00Z', 'Mar  2 00:01:00 text', '2025-03-02T00:01:00Z'],
    ['2026-01-01T00:00:01Z', 'Dec 31 23:59:59 text', '2025-12-31T23:59:59Z'],
    ['2025-12-31T23:59:59Z', 'Jan  1 00:00:01 text', '2026-01-01T00:00:01Z'],
    ['2025-01-10T00:00:00Z', 'Feb 29 00:00:00 text', '2024-02-29T00:00:00Z'],
  ] as const)('read at %s: %s', ([now, line, expected]) => {
    vi.useFakeTimers({ now: Date.parse(now), toFake: ['Date'] })
    expect(new TimestampReader('utc').read(line)).toBe(Date.parse(expected))
  })

  test('is none when it is of a day that neither this year nor the last one has', () => {
    vi.useFakeTimers({ now: Date.UTC(2027, 2, 1), toFake: ['Date'] })
    expect(new TimestampReader('utc').read('Feb 29 00:00:00 text')).toBeUndefined()
  })
})

describe('the time zone of the appliance', () => {
  test('counts in summer and in winter', () => {
    setZone('Europe/Berlin')
    const reader = new TimestampReader('local')
    expect(reader.read('2023-02-14 11:53:09')).toBe(Date.UTC(2023, 1, 14, 10, 53, 9))
    expect(reader.read('2023-07-14 11:53:09')).toBe(Date.UTC(2023, 6, 14, 9, 53, 9))
    expect(reader.read('2023-07-14T11:53:09Z')).toBe(Date.UTC(2023, 6, 14, 11, 53, 9))
    expect(reader.read('Feb 14 11:53:09')).toBe(Date.UTC(new Date().getFullYear(), 1, 14, 10, 53, 9))
  })

  test.for([
    { name: 'Europe/Berlin', before: '2023-10-29 02:59:59', after: '2023-10-29 02:00:00', next: '2023-10-29 03:00:00' },
    {
      name: 'Australia/Lord_Howe',
      before: '2023-04-02 01:59:59',
      after: '2023-04-02 01:30:00',
      next: '2023-04-02 02:00:00',
    },
  ])('tells an hour that comes twice by what came before in $name', ({ name, before, after, next }) => {
    setZone(name)
    const reader = new TimestampReader('local')
    const [beforeMs = 0, afterMs, nextMs = 0] = [before, after, next].map((line) => reader.read(line))
    expect(afterMs).toBe(beforeMs + 1_000)
    expect(nextMs).toBeGreaterThan(beforeMs)
    expect(new TimestampReader('local').read(before)).toBe(beforeMs)
  })

  test('is read as Date reads it, whatever came before', () => {
    setZone('America/New_York')
    const date = fc.date({ min: new Date(Date.UTC(1971)), max: new Date(Date.UTC(2099)), noInvalidDate: true })
    fc.assert(
      fc.property(fc.array(date), (dates) => {
        const reader = new TimestampReader('local')
        for (const expected of dates) {
          const ms = reader.read(localText(expected)) ?? NaN
          // an hour that comes twice may be either one
          expect(localText(new Date(ms))).toBe(localText(expected))
        }
      }),
    )
  })
})

const parts = fc.array(fc.constantFrom('2023-02-14', ' 11:53:09', '[', 'Feb 14', '1676375589', '.', '+', '9', 'Z', 'T'))
const anyLine = fc.oneof(
  fc.string(),
  parts.map((some) => some.join('')),
)

test('crashes on no line', () => {
  const reader = new TimestampReader('local')
  fc.assert(
    fc.property(anyLine, (line) => {
      expect(reader.read(line)).not.toBeNaN()
    }),
  )
})

test('reads the same of bytes, whatever is before the line and after its end', () => {
  const line = fc.oneof(anyLine, fc.string({ unit: 'binary' })).map((text) => text.replaceAll('\n', ''))
  const cut = fc.tuple(anyLine, fc.nat(40)).map(([text, length]) => text.slice(0, length))
  fc.assert(
    fc.property(fc.oneof(line, cut), anyLine, anyLine, (text, before, after) => {
      const start = Buffer.byteLength(before)
      const expected = new TimestampReader('utc').read(text, atMs)
      const whole = Buffer.from(`${before}${text}\n${after}`)
      expect(new TimestampReader('utc').readAt(whole, start, atMs)).toBe(expected)
      const ended = Buffer.from(`${before}${text}`)
      expect(new TimestampReader('utc').readAt(ended, start, atMs)).toBe(expected)
    }),
    { numRuns: 2_000 },
  )
})

function localText(date: Date): string {
  const two = (part: number): string => String(part).padStart(2, '0')
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-')
  const time = [two(date.getHours()), two(date.getMinutes()), two(date.getSeconds())].join(':')
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, '0')}`
}

function setZone(name: string | undefined): void {
  if (name === undefined) delete process.env['TZ']
  else process.env['TZ'] = name
}
