import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { AgentError } from '../../../../agent/lib/errors.ts'
import { FakeArtifactSource, heldCrc32 } from '../../../support/fake-artifact-source.ts'
import { appFolder, sha256, startWorker, tempFolder, type TempFolder } from '../artifact-fixture.ts'

const sizes = { largeObjectBytes: 20_000, partBytes: 10_000 }
const content = randomBytes(95_000)
const other = heldCrc32(Buffer.from('something else'))
const sha256Held = (bytes: Uint8Array) =>
  ({
    kind: 'held',
    algorithm: 'SHA256',
    value: Buffer.from(sha256(bytes), 'hex').toString('base64'),
    begin: () => expect.fail('the sha256 is computed anyway'),
  }) as const

it('checks a large object against what its source holds, and asks for that once', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(await installed(state)).toEqual(content)
  expect(source.checksumReads).toEqual(['app/model'])
})

it('asks for nothing when there is nothing to fetch', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  source.put('app/copy', 'small')
  await running.pass()
  await running.pass()
  expect(source.checksumReads).toHaveLength(1)
})

it('asks for nothing when the name of the object promises its content', async () => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  source.put(`app/${sha256(content)}.bin`, content)
  source.checksumOf = () => other
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(source.checksumReads).toEqual([])
})

it.each([
  { algorithm: 'CRC32', held: other },
  { algorithm: 'SHA256', held: sha256Held(Buffer.from('something else')) },
])('refuses an object that differs from the $algorithm that its source holds', async ({ algorithm, held }) => {
  await using state = await tempFolder()
  const source = sourceOf(Buffer.from('small'))
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  source.put('app/model', content)
  source.checksumOf = () => held

  const message = expect.stringMatching(
    new RegExp(`"app/model" has the ${algorithm} checksum .*, not ${RegExp.escape(held.value)} as its source holds`),
  ) as unknown
  await expect(running.pass()).rejects.toMatchObject({ name: 'ChecksumMismatchError', message, retryable: false })
  expect(await installed(state)).toEqual(Buffer.from('small'))
  expect(await partials(state)).toEqual([])

  const requests = source.ranges.length
  await expect(running.pass()).rejects.toMatchObject({ name: 'ChecksumMismatchError' })
  expect(source.ranges).toHaveLength(requests)
  expect(source.checksumReads).toHaveLength(1)

  source.put('app/model', content, '"mended"')
  source.checksumOf = heldCrc32
  await running.pass()
  expect(await installed(state)).toEqual(content)
})

it.each([
  { which: 'right', held: heldCrc32(content) },
  { which: 'right', held: sha256Held(content) },
  { which: 'wrong', held: other },
  { which: 'wrong', held: sha256Held(Buffer.from('something else')) },
])('checks a small object whose connection broke: $held.algorithm, $which', async ({ held, which }) => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.checksumOf = () => held
  source.beforeChunk = (_, offset) => {
    if (source.opened.length === 1 && offset > 50_000) throw new AgentError('reset', { retryable: true })
  }
  await using running = startWorker(state, source, { sizes: { ...sizes, largeObjectBytes: 100_000 } })
  if (which === 'right') await running.pass()
  else await expect(running.pass()).rejects.toMatchObject({ name: 'ChecksumMismatchError' })
  expect(source.ranges.map(({ start }) => start > 0)).toEqual([false, true])
  expect(source.checksumReads).toEqual(['app/model'])
})

it('compares with the sha256 that it has anyway when the source holds one', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.checksumOf = sha256Held
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(await installed(state)).toEqual(content)
})

it.each([
  { which: 'right', held: heldCrc32(content) },
  { which: 'wrong', held: other },
])('checks an object that is taken up again, parts that were there included: $which', async ({ held, which }) => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  {
    await using running = startWorker(state, source, { sizes })
    source.beforeOpen = () => {
      if (source.opened.length >= 4) throw new AgentError('denied')
    }
    await expect(running.pass()).rejects.toThrow('denied')
  }
  source.beforeOpen = () => undefined
  source.checksumOf = () => held
  source.ranges.length = 0
  await using running = startWorker(state, source, { sizes })
  if (which === 'right') await running.pass()
  else await expect(running.pass()).rejects.toMatchObject({ name: 'ChecksumMismatchError' })
  expect(source.ranges.length).toBeLessThanOrEqual(6)
  expect(source.checksumReads).toHaveLength(2)
  expect(await installed(state)).toEqual(which === 'right' ? content : undefined)
})

it('drops the partial of an object that is found replaced when its checksum is asked for', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.checksumOf = () => {
    throw new AgentError('denied')
  }
  await using running = startWorker(state, source, { sizes })
  await expect(running.pass()).rejects.toThrow('denied')
  expect(await partials(state)).not.toEqual([])
  source.heldChecksum = async () => await Promise.resolve('changed')
  await expect(running.pass()).rejects.toMatchObject({ name: 'ObjectChangedError', retryable: true })
  expect(await partials(state)).toEqual([])
  expect(source.ranges).toEqual([])
})

it('asks again when that may help', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.checksumOf = (bytes) => {
    if (source.checksumReads.length < 3) throw new AgentError('the line is gone', { retryable: true })
    return heldCrc32(bytes)
  }
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(source.checksumReads).toHaveLength(3)
  expect(await installed(state)).toEqual(content)
})

it('takes objects of which the source tells no checksum, and says so once', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.put('app/second', randomBytes(40_000))
  source.checksumOf = () => ({ kind: 'refused', error: new AgentError('HEAD is not allowed') })
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(await installed(state)).toEqual(content)
  expect(source.checksumReads).toHaveLength(2)
  const told = running.lines.filter(({ text }) => text.includes('tells no checksums'))
  expect(told).toMatchObject([{ level: 'warn', text: expect.stringContaining('HEAD is not allowed') as unknown }])
})

it('takes an object whose checksum is one of its parts', async () => {
  await using state = await tempFolder()
  const source = sourceOf(content)
  source.checksumOf = () => ({ kind: 'none', why: 'it is of the parts' })
  await using running = startWorker(state, source, { sizes })
  await running.pass()
  expect(await installed(state)).toEqual(content)
  expect(running.lines.filter(({ level }) => level === 'warn')).toEqual([])
})

function sourceOf(bytes: Uint8Array): FakeArtifactSource {
  const source = new FakeArtifactSource('app/')
  source.put('app/model', bytes)
  return source
}

async function installed(state: TempFolder): Promise<Buffer | undefined> {
  return await readFile(join(appFolder(state), 'current', 'model')).catch(() => undefined)
}

async function partials(state: TempFolder): Promise<readonly string[]> {
  return await readdir(join(appFolder(state), 'partial')).catch(() => [])
}
