import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { EventAssembler, type LineReading, type ReadMoment } from '../../../../agent/logs/events/event-assembler.ts'
import { keptEvent, type SourceEvent } from '../../../../agent/logs/events/source-event.ts'
import { TextSlab } from '../../../../agent/logs/events/text-slab.ts'
import { TimestampReader } from '../../../../agent/logs/events/timestamp-reader.ts'
import { anyBytes, chunksOf } from '../log-bytes.ts'

const maxEventBytes = 64
const moment = { atMs: 1_000, offsetMsOf: (startBytes: number) => startBytes }
const origin = { accepted: (): undefined => undefined }
type Reading = LineReading & { readonly maxEventBytes?: number }

const plainLine = fc.string({ unit: 'grapheme-ascii', maxLength: 90 })
const anyOrPlainBytes = fc.oneof(
  anyBytes,
  fc
    .array(
      fc.oneof(
        plainLine,
        plainLine.map((text) => `2023-02-14 11:53:09 ${text}`),
      ),
      { maxLength: 12 },
    )
    .map((lines) => Buffer.from(lines.join('\n'))),
)

const indented: LineReading = { multiLine: { isFirst: (line) => !/^(?:> |\[)/.test(line), maxLines: 4 } }

describe.each([
  { how: 'line by line', reading: {} },
  { how: 'line by line, with times', reading: { timestamps: new TimestampReader('utc') } },
  { how: 'with lines joined', reading: indented },
  { how: 'with lines joined to large ones', reading: { ...indented, maxEventBytes: 400 } },
])('events made $how', ({ reading }) => {
  test('are the same, at the same positions, however the bytes are cut', () => {
    fc.assert(
      fc.property(anyBytes, fc.array(fc.nat(90), { maxLength: 20 }), (all, cuts) => {
        expect(assemble(chunksOf(all, cuts), reading)).toEqual(assemble([all], reading))
      }),
    )
  })

  test('are the same where they are left in a slab, though what is not held is written over', () => {
    fc.assert(
      fc.property(anyOrPlainBytes, fc.array(fc.nat(400), { maxLength: 5 }), fc.boolean(), (all, cuts, hasRoom) => {
        const chunks = chunksOf(all, cuts)
        expect(assembleInSlabs(chunks, reading, hasRoom ? 1_000 : 2)).toEqual(assemble(chunks, reading))
      }),
    )
  })

  test('keep order and bounds, and each ends after the one before', () => {
    fc.assert(
      fc.property(anyBytes, (all) => {
        let last = 0
        for (const { message, messageBytes, position } of assemble([all], reading)) {
          expect(messageBytes).toBe(Buffer.byteLength(message))
          expect(messageBytes).toBeGreaterThan(0)
          expect(messageBytes).toBeLessThanOrEqual({ maxEventBytes, ...reading }.maxEventBytes)
          expect(message.split('\n').length).toBeLessThanOrEqual(4)
          expect(position).toBeGreaterThan(last)
          expect(position).toBeLessThanOrEqual(all.length)
          last = position
        }
      }),
    )
  })

  test('keep all text', () => {
    const line = fc.string({ unit: 'grapheme', maxLength: 150 }).map((text) => text.replaceAll(/\p{Cc}/gu, ''))
    const lines = fc.array(fc.tuple(fc.constantFrom('', '> '), line).map((parts) => parts.join('')))
    fc.assert(
      fc.property(lines, (texts) => {
        const events = assemble([Buffer.from(`${texts.join('\n')}\n`)], reading)
        const content = events.map(({ message }) => `${message}\n`).join('')
        const restored = content.replaceAll('\u2026[continues]\n[continued]\u2026', '')
        expect(restored).toBe(
          texts
            .filter((text) => text !== '')
            .join('\n')
            .concat('\n')
            .replace(/^\n$/, ''),
        )
      }),
    )
  })

  test('go on from any accepted one with exactly the rest', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(), (all, pick) => {
        const events = assemble([all], reading)
        const accepted = events.length === 0 ? 0 : pick % (events.length + 1)
        const position = events[accepted - 1]?.position ?? 0
        expect(readOn(all, position, reading)).toEqual(events.slice(accepted))
      }),
    )
  })

  test('go on from where the cursor may stand at any time with exactly what is still to come', () => {
    fc.assert(
      fc.property(anyBytes, fc.nat(800), (all, cut) => {
        const assembler = new EventAssembler({ positionBytes: 0, maxEventBytes, origin, ...reading })
        const events = pushed(assembler, all.subarray(0, cut)).map(contentOf)
        expect([...events, ...readOn(all, assembler.positionBytes, reading)]).toEqual(assemble([all], reading))
      }),
    )
  })
})

describe('lines that belong together', () => {
  test('become one event once the next one begins', () => {
    const assembler = new EventAssembler({ positionBytes: 0, origin, ...indented })
    expect(pushed(assembler, Buffer.from('one\n> a\n\n> b\n'))).toEqual([])
    expect([assembler.positionBytes, assembler.isGroupOpen]).toEqual([0, true])
    expect(pushed(assembler, Buffer.from('two\n'))).toMatchObject([{ message: 'one\n> a\n> b', position: 13 }])
    expect(assembler.positionBytes).toBe(13)
    expect(ended(assembler)).toMatchObject([{ message: 'two', messageBytes: 3, position: 17 }])
    expect(assembler.positionBytes).toBe(17)
  })

  test('are ended by their number, and by their bytes', () => {
    expect(messages('one\n> 1\n> 2\n> 3\n> 4\n', indented)).toEqual(['one\n> 1\n> 2\n> 3', '> 4'])
    const wide = `> ${'x'.repeat(40)}`
    expect(messages(`one\n${wide}\n${wide}\n`, indented)).toEqual([`one\n${wide}`, wide])
  })

  test('are not the pieces of one line, though there were room for them', () => {
    const reading = { ...indented, maxEventBytes: 400 }
    const line = Buffer.concat([Buffer.alloc(243, 'x'), Buffer.alloc(130, 0xff), Buffer.from('\n')])
    const pieces = assemble([line], reading).map(({ message }) => message)
    expect(pieces.length).toBeGreaterThan(2)
    expect(pieces.join('')).not.toContain('\n')
  })

  test('are asked about by their first 1,024 characters', () => {
    const asked: number[] = []
    const multiLine = { isFirst: (line: string) => asked.push(line.length) > 0, maxLines: 10 }
    const assembler = new EventAssembler({ positionBytes: 0, origin, multiLine })
    pushed(assembler, Buffer.from(`${'x'.repeat(5_000)}\n`))
    expect(asked).toEqual([1_024])
  })

  test('have the time of the first line', () => {
    const { timestamps } = times()
    const [event] = assembleAll(`2023-02-14 11:53:09 one\n> 2023-02-14 11:53:10\n`, { timestamps, ...indented })
    expect(event).toMatchObject({ statedMs: Date.UTC(2023, 1, 14, 11, 53, 9) })
  })
})

describe('times', () => {
  test('are stated, or those of the line before, until they are to be forgotten', () => {
    const assembler = new EventAssembler({ positionBytes: 0, origin, ...times() })
    const events = pushed(assembler, Buffer.from('none\n2023-02-14 11:53:09 one\n  at foo\n'))
    const statedMs = Date.UTC(2023, 1, 14, 11, 53, 9)
    expect(events.map((event) => event.statedMs)).toEqual([undefined, statedMs, statedMs])
    assembler.forgetTime()
    expect(pushed(assembler, Buffer.from('later\n'))).toMatchObject([{ statedMs: undefined, atMs: 1_000 }])
  })

  test('come with the offset of the clock from where on the file is watched', () => {
    const line = '2023-02-14 11:53:09 x\n'
    const assembler = new EventAssembler({ positionBytes: 0, origin, ...times() })
    const events = pushed(assembler, Buffer.from(`${line}  more\n${line}  more\n`), {
      ...moment,
      offsetMsOf: (startBytes: number) => (startBytes < 29 ? undefined : 5),
    })
    expect(events.map(({ wallOffsetMs }) => wallOffsetMs)).toEqual([undefined, undefined, 5, 5])
  })

  test('are not looked for in the rest of a line', () => {
    const reading = { ...times(), isMidLine: true }
    const assembler = new EventAssembler({ positionBytes: 30, origin, ...reading })
    expect(pushed(assembler, Buffer.from('2023-02-14 11:53:09\n'))).toMatchObject([{ statedMs: undefined }])
  })
})

function times(): Required<Pick<LineReading, 'timestamps'>> {
  return { timestamps: new TimestampReader('utc') }
}

interface Content {
  readonly statedMs: number | undefined
  readonly wallOffsetMs: number | undefined
  readonly message: string
  readonly messageBytes: number
  readonly position: number
}

function contentOf({ message, messageBytes, statedMs, wallOffsetMs, position }: SourceEvent): Content {
  return { message, messageBytes, statedMs, wallOffsetMs, position }
}

function readOn(all: Buffer, positionBytes: number, reading: Reading): readonly Content[] {
  return assemble([all.subarray(positionBytes)], reading, {
    positionBytes,
    isMidLine: positionBytes > 0 && all[positionBytes - 1] !== 0x0a,
  })
}

function assemble(
  chunks: readonly Buffer[],
  reading: Reading,
  start: { readonly positionBytes: number; readonly isMidLine?: boolean } = { positionBytes: 0 },
): readonly Content[] {
  const assembler = new EventAssembler({ ...start, maxEventBytes, origin, ...reading })
  const events = chunks.flatMap((chunk) => pushed(assembler, chunk))
  while (assembler.pendingBytes > 0) events.push(...flushed(assembler))
  return events.map(contentOf)
}

/** Each chunk in the middle of a slab, of which line breaks are noted as far as there is room. */
function assembleInSlabs(chunks: readonly Buffer[], reading: Reading, breaks: number): readonly Content[] {
  const assembler = new EventAssembler({ positionBytes: 0, maxEventBytes, origin, ...reading })
  const events: SourceEvent[] = []
  for (const chunk of chunks) {
    const slab = new TextSlab(Buffer.alloc(chunk.length + 7, 'x'), new Int32Array(breaks))
    const bytes = slab.bytes.subarray(3, 3 + chunk.length)
    chunk.copy(bytes)
    const kept: SourceEvent[] = []
    assembler.push(bytes, { ...moment, slab }, (event) => kept.push(keptEvent(event)))
    slab.bytes.fill(0x58)
    events.push(...kept)
  }
  while (assembler.pendingBytes > 0) events.push(...flushed(assembler))
  return events.map(contentOf)
}

function assembleAll(text: string, reading: LineReading): readonly SourceEvent[] {
  const assembler = new EventAssembler({ positionBytes: 0, maxEventBytes, origin, ...reading })
  return [...pushed(assembler, Buffer.from(text)), ...ended(assembler)]
}

function messages(text: string, reading: LineReading): readonly string[] {
  return assembleAll(text, reading).map(({ message }) => message)
}

function pushed(assembler: EventAssembler, bytes: Uint8Array, at: ReadMoment = moment): SourceEvent[] {
  const events: SourceEvent[] = []
  assembler.push(bytes, at, (event) => events.push(event))
  return events
}

function flushed(assembler: EventAssembler): SourceEvent[] {
  const events: SourceEvent[] = []
  assembler.flush((event) => events.push(event))
  return events
}

function ended(assembler: EventAssembler): SourceEvent[] {
  const events: SourceEvent[] = []
  assembler.endGroup((event) => events.push(event))
  return events
}
