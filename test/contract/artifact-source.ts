import { describe, expect, it } from 'vitest'

import type { ArtifactSource, ObjectBody, SourceObject } from '../../agent/artifacts/artifact-source.ts'

/** A source over the prefix `app/`, and the other side of it. */
export interface ArtifactSourceFixture extends AsyncDisposable {
  readonly source: ArtifactSource
  readonly put: (key: string, content: string | Uint8Array) => Promise<void> | void
  /** So that the source has a checksum of the parts only. */
  readonly putInParts: (key: string, parts: readonly Uint8Array[]) => Promise<void> | void
  readonly remove: (key: string) => Promise<void> | void
}

/** What every artifact source promises; run by the fake and by the adapter for S3. */
export function artifactSourceContract(create: () => Promise<ArtifactSourceFixture>): void {
  const { signal } = new AbortController()

  describe('list', () => {
    it('answers key, path and size of everything below the prefix and of nothing else', async () => {
      await using fixture = await create()
      await fixture.put('app/model.bin', 'weights')
      await fixture.put('app/config/a.json', '{}')
      await fixture.put('application/other', 'not ours')
      const objects = await fixture.source.list(signal)
      expect(objects.map(({ key, path, sizeBytes }) => ({ key, path, sizeBytes })).sort(byKey)).toEqual([
        { key: 'app/config/a.json', path: 'config/a.json', sizeBytes: 2 },
        { key: 'app/model.bin', path: 'model.bin', sizeBytes: 7 },
      ])
    })

    it('answers an empty list when nothing is there', async () => {
      await using fixture = await create()
      expect(await fixture.source.list(signal)).toEqual([])
    })

    it('answers more objects than fit on one page', async () => {
      await using fixture = await create()
      const keys = Array.from({ length: 1050 }, (_, index) => `app/${String(index).padStart(4, '0')}`)
      for (const key of keys) await fixture.put(key, key)
      const objects = await fixture.source.list(signal)
      expect(objects.map(({ key }) => key).sort()).toEqual(keys)
    })

    it.each(['app/a b', 'app/a+b', 'app/a%2Fb', 'app/a&<b>', 'app/ü/日本', 'app/a//b', 'app/../b', 'app/a\u0001b\r\n'])(
      'answers the key %j as it is, and opens it',
      async (key) => {
        await using fixture = await create()
        await fixture.put(key, key)
        const object = await onlyObject(fixture)
        expect(object.key).toBe(key)
        expect(await readAll(await opened(fixture, object))).toBe(key)
      },
    )

    it('answers another etag when the content was replaced', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const before = await onlyObject(fixture)
      await fixture.put('app/a', 'two')
      expect((await onlyObject(fixture)).etag).not.toBe(before.etag)
    })

    it('rejects with the reason of a signal that aborted', async () => {
      await using fixture = await create()
      const reason = new Error('stop')
      await expect(fixture.source.list(AbortSignal.abort(reason))).rejects.toBe(reason)
    })
  })

  describe('open', () => {
    it.each([0, 1, 300_000])('gives all %i bytes of an object', async (sizeBytes) => {
      await using fixture = await create()
      const content = Buffer.alloc(sizeBytes, 'panorama')
      await fixture.put('app/a', content)
      expect(await readAll(await opened(fixture, await onlyObject(fixture)))).toBe(content.toString())
    })

    it('answers changed when the object was replaced since it was listed', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = await onlyObject(fixture)
      await fixture.put('app/a', 'two')
      expect(await fixture.source.open(object, { signal })).toBe('changed')
    })

    it('answers changed when the object was removed since it was listed', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = await onlyObject(fixture)
      await fixture.remove('app/a')
      expect(await fixture.source.open(object, { signal })).toBe('changed')
    })

    it('gives the range that is asked for, and the etag of what it is of', async () => {
      await using fixture = await create()
      await fixture.put('app/a', '0123456789')
      const object = await onlyObject(fixture)
      const { source } = fixture
      const read = async (start: number, end: number): Promise<string> => {
        const body = await source.open(object, { signal, range: { start, end } })
        if (body === 'changed') throw new Error('changed')
        expect(body.etag).toBe(object.etag)
        return await readAll(body)
      }
      expect([await read(0, 4), await read(4, 8), await read(8, 10)]).toEqual(['0123', '4567', '89'])
    })

    it('opens an object of which only the key is known, and says which version that is', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const { etag, sizeBytes } = await onlyObject(fixture)
      const body = await fixture.source.open({ key: 'app/a', sizeBytes }, { signal })
      if (body === 'changed') throw new Error('changed')
      expect(body.etag).toBe(etag)
      expect(await readAll(body)).toBe('one')
    })

    it('names a version by one byte of it, and gives no range of another one under that name', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = { key: 'app/a', sizeBytes: 3 }
      const first = await fixture.source.open(object, { signal, range: { start: 0, end: 1 } })
      if (first === 'changed') throw new Error('changed')
      expect(await readAll(first)).toBe('o')
      const pinned = { ...object, etag: first.etag }
      const rest = { signal, range: { start: 1, end: 3 } }
      const same = await fixture.source.open(pinned, rest)
      if (same === 'changed') throw new Error('changed')
      expect(await readAll(same)).toBe('ne')
      await fixture.put('app/a', 'two')
      expect(await fixture.source.open(pinned, rest)).toBe('changed')
    })

    it('gives several bodies side by side', async () => {
      await using fixture = await create()
      for (const name of ['a', 'b', 'c']) await fixture.put(`app/${name}`, name.repeat(100_000))
      const objects = await fixture.source.list(signal)
      const bodies = await Promise.all(objects.map((object) => opened(fixture, object)))
      const texts = await Promise.all(bodies.map(readAll))
      expect(texts).toEqual(objects.map(({ path }) => path.repeat(100_000)))
    })

    it('rejects with the reason of a signal that aborted', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = await onlyObject(fixture)
      const reason = new Error('stop')
      await expect(fixture.source.open(object, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    })

    it('ends a body that is being read when its signal aborts', async () => {
      await using fixture = await create()
      await fixture.put('app/a', Buffer.alloc(8_000_000))
      const controller = new AbortController()
      await using body = await opened(fixture, await onlyObject(fixture), controller.signal)
      const reason = new Error('stop')
      const reading = async (): Promise<void> => {
        for await (const chunk of body) if (chunk.byteLength > 0) controller.abort(reason)
      }
      await expect(reading()).rejects.toBe(reason)
    })

    it('ends a body that is being read when it is disposed, and opens it again', async () => {
      await using fixture = await create()
      await fixture.put('app/a', Buffer.alloc(8_000_000))
      const object = await onlyObject(fixture)
      const body = await opened(fixture, object)
      const reading = async (): Promise<void> => {
        for await (const chunk of body) if (chunk.byteLength > 0) await body[Symbol.asyncDispose]()
      }
      await expect(reading()).rejects.toThrow()
      await body[Symbol.asyncDispose]()
      expect(await readAll(await opened(fixture, object))).toHaveLength(8_000_000)
    })
  })

  describe('heldChecksum', () => {
    it('answers what the bytes of the object lead to, however they are cut, and no others', async () => {
      await using fixture = await create()
      const content = Buffer.alloc(300_001, 'panorama')
      await fixture.put('app/a', content)
      const held = await fixture.source.heldChecksum(await onlyObject(fixture), signal)
      if (held === 'changed' || held.kind !== 'held') throw new Error(JSON.stringify(held))
      const digest = async (...chunks: readonly Uint8Array[]): Promise<string> => {
        const running = held.begin()
        for (const chunk of chunks) running.update(chunk)
        return await running.digest()
      }
      expect(await digest(content)).toBe(held.value)
      expect(await digest(content.subarray(0, 7), content.subarray(7, 7), content.subarray(7))).toBe(held.value)
      expect(await digest(content.subarray(1))).not.toBe(held.value)
      expect(await digest()).not.toBe(held.value)
    })

    it('says why when what it holds cannot be computed of the bytes alone', async () => {
      await using fixture = await create()
      await fixture.putInParts('app/a', [Buffer.alloc(100, 'a'), Buffer.alloc(50, 'b')])
      const held = await fixture.source.heldChecksum(await onlyObject(fixture), signal)
      expect(held).toMatchObject({ kind: 'none', why: expect.stringContaining('parts') as unknown })
    })

    it('answers changed when the object was replaced or removed since it was listed', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = await onlyObject(fixture)
      await fixture.put('app/a', 'two')
      expect(await fixture.source.heldChecksum(object, signal)).toBe('changed')
      await fixture.remove('app/a')
      expect(await fixture.source.heldChecksum(object, signal)).toBe('changed')
    })

    it('rejects with the reason of a signal that aborted', async () => {
      await using fixture = await create()
      await fixture.put('app/a', 'one')
      const object = await onlyObject(fixture)
      const reason = new Error('stop')
      await expect(fixture.source.heldChecksum(object, AbortSignal.abort(reason))).rejects.toBe(reason)
    })
  })

  describe('readSmall', () => {
    it('answers an object, and that it is unchanged when asked again with its etag', async () => {
      await using fixture = await create()
      await fixture.put('app/release.jws', 'one')
      const options = { signal, maxBytes: 100 }
      const first = await fixture.source.readSmall('release.jws', options)
      if (typeof first === 'string') throw new Error(first)
      expect(Buffer.from(first.bytes).toString()).toBe('one')
      expect(await fixture.source.readSmall('release.jws', { ...options, etag: first.etag })).toBe('unchanged')
      await fixture.put('app/release.jws', 'two')
      const second = await fixture.source.readSmall('release.jws', { ...options, etag: first.etag })
      if (typeof second === 'string') throw new Error(second)
      expect(Buffer.from(second.bytes).toString()).toBe('two')
      expect(second.etag).not.toBe(first.etag)
    })

    it('answers that there is none', async () => {
      await using fixture = await create()
      expect(await fixture.source.readSmall('release.jws', { signal, maxBytes: 100 })).toBe('absent')
    })

    it('refuses one that is too large', async () => {
      await using fixture = await create()
      await fixture.put('app/release.jws', Buffer.alloc(101))
      await expect(fixture.source.readSmall('release.jws', { signal, maxBytes: 100 })).rejects.toThrow(/100 bytes/)
      await fixture.put('app/release.jws', Buffer.alloc(100))
      expect(await fixture.source.readSmall('release.jws', { signal, maxBytes: 100 })).toMatchObject({})
    })
  })

  async function onlyObject(fixture: ArtifactSourceFixture): Promise<SourceObject> {
    const [object, ...others] = await fixture.source.list(signal)
    if (object === undefined || others.length > 0) throw new Error('expected one object')
    return object
  }

  async function opened(
    fixture: ArtifactSourceFixture,
    object: SourceObject,
    bodySignal: AbortSignal = signal,
  ): Promise<ObjectBody> {
    const body = await fixture.source.open(object, { signal: bodySignal })
    if (body === 'changed') throw new Error(`${object.key} changed`)
    return body
  }
}

async function readAll(opened: ObjectBody): Promise<string> {
  await using body = opened
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function byKey(left: { readonly key: string }, right: { readonly key: string }): number {
  return left.key < right.key ? -1 : 1
}
