import { Readable } from 'node:stream'

import { describe, expect, it } from 'vitest'

import { StreamedBody } from '../../../agent/aws/object-body.ts'

const chunkBytes = 16 * 1024

describe('a streamed body', () => {
  it('tells the stream to stop when its reader does, and gives every byte in order', async () => {
    const source = { made: 0 }
    await using body = bodyOf(streamOf(100, source))
    await turns()
    expect(source.made).toBeLessThan(20)
    const seen: number[] = []
    for await (const chunk of body) {
      for (let at = 0; at < chunk.byteLength; at += chunkBytes) seen.push(chunk[at] ?? -1)
      await turns()
    }
    expect(seen).toEqual(Array.from({ length: 100 }, (_, index) => index))
  })

  it('gives nothing more once it is disposed', async () => {
    const body = bodyOf(streamOf(100))
    await turns()
    await body[Symbol.asyncDispose]()
    await expect(body.next()).rejects.toThrow('broke off')
  })

  it('gives nothing more once its signal aborts, even if all of it came', async () => {
    const controller = new AbortController()
    await using body = bodyOf(Readable.from([Buffer.alloc(1), Buffer.alloc(1)]), controller.signal)
    await body.next()
    await turns()
    const reason = new Error('stop')
    controller.abort(reason)
    await expect(body.next()).rejects.toBe(reason)
  })

  it('ends its stream when its reader leaves', async () => {
    const stream = streamOf(100)
    for await (const chunk of bodyOf(stream)) if (chunk.byteLength > 0) break
    expect(stream.destroyed).toBe(true)
  })
})

function streamOf(chunks: number, source = { made: 0 }): Readable {
  return new Readable({
    highWaterMark: chunkBytes,
    read() {
      this.push(source.made < chunks ? Buffer.alloc(chunkBytes, source.made++) : null)
    },
  })
}

function bodyOf(stream: Readable, signal: AbortSignal = new AbortController().signal): StreamedBody {
  return new StreamedBody(stream, { resource: 'an object', etag: '"1"', signal })
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
