import { expect, test } from 'vitest'

import { maxBatch, type SecretReader } from '../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** A reader over no secrets, and the other side of it. */
export interface SecretReaderFixture extends AsyncDisposable {
  readonly reader: SecretReader
  /** Stores a first or another version as AWSCURRENT and answers its id. */
  readonly store: (secretId: string, value: string | Uint8Array) => string
  /** Makes reading the secret fail. */
  readonly refuse: (secretId: string) => void
  /** Makes batches be denied as such. */
  readonly denyBatches: () => void
}

/** What every secret reader promises; run by the fake and by the adapter for Secrets Manager. */
export function secretReaderContract(create: () => Promise<SecretReaderFixture>): void {
  const { signal } = new AbortController()
  const secretId = 'panorama/shared/dock-1'

  test('answers the current version with its text as it was stored', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'first')
    const text = '{"password":"p\\u0041 \u{1F4F7}"}\n'
    const versionId = fixture.store(secretId, text)
    expect(await fixture.reader.current(secretId, signal)).toEqual({ versionId, text })
  })

  test('answers another version id after every change', async () => {
    await using fixture = await create()
    const seen = new Set<string>()
    for (const text of ['one', 'two', 'one']) {
      fixture.store(secretId, text)
      seen.add((await fixture.reader.current(secretId, signal)).versionId)
    }
    expect(seen.size).toBe(3)
  })

  test('answers no text for a secret that holds binary data', async () => {
    await using fixture = await create()
    const versionId = fixture.store(secretId, new Uint8Array([1, 2, 3]))
    expect(await fixture.reader.current(secretId, signal)).toEqual({ versionId, text: undefined })
  })

  test('reads several secrets side by side', async () => {
    await using fixture = await create()
    const names = Array.from({ length: 8 }, (_, index) => `panorama/shared/dock-${index}`)
    for (const name of names) fixture.store(name, name)
    const versions = await Promise.all(names.map((name) => fixture.reader.current(name, signal)))
    expect(versions.map(({ text }) => text)).toEqual(names)
  })

  test('names a secret that is missing in its error', async () => {
    await using fixture = await create()
    const error: unknown = await fixture.reader.current(secretId, signal).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ message: expect.stringContaining(secretId) as string })
  })

  test('shows no value in the error of a secret that cannot be read', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'correct-horse-battery')
    fixture.refuse(secretId)
    const error: unknown = await fixture.reader.current(secretId, signal).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ message: expect.stringContaining(secretId) as string })
    expect(error).not.toMatchObject({ message: expect.stringContaining('correct-horse') as string })
  })

  test('rejects with the reason of a signal that aborted', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'text')
    const reason = new Error('stop')
    await expect(fixture.reader.current(secretId, AbortSignal.abort(reason))).rejects.toBe(reason)
  })

  test('answers the version before the current one, and none before there are two', async () => {
    await using fixture = await create()
    const first = fixture.store(secretId, 'first')
    expect(await fixture.reader.previous(secretId, signal)).toBeUndefined()
    const second = fixture.store(secretId, 'second')
    expect(await fixture.reader.previous(secretId, signal)).toEqual({ versionId: first, text: 'first' })
    fixture.store(secretId, 'third')
    expect(await fixture.reader.previous(secretId, signal)).toEqual({ versionId: second, text: 'second' })
  })

  test('shows no value in the error of a version before that cannot be read', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'correct-horse-battery')
    fixture.store(secretId, 'correct-horse-staple')
    fixture.refuse(secretId)
    const error: unknown = await fixture.reader.previous(secretId, signal).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ message: expect.stringContaining(secretId) as string })
    expect(error).not.toMatchObject({ message: expect.stringContaining('correct-horse') as string })
  })

  test('answers a whole batch at once, each secret by the id that it was asked for', async () => {
    await using fixture = await create()
    const names = Array.from({ length: maxBatch }, (_, index) => `panorama/shared/dock-${index}`)
    const versions = new Map(names.map((name) => [name, fixture.store(name, `{"of":"${name}"}\n`)]))
    const outcome = await fixture.reader.batch(names, signal)
    expect(outcome).toEqual({
      kind: 'answered',
      outcomes: new Map(
        names.map((name) => [
          name,
          { kind: 'read', version: { versionId: versions.get(name), text: `{"of":"${name}"}\n` } },
        ]),
      ),
    })
  })

  test('answers in a batch what fails for one secret beside the others, and names that', async () => {
    await using fixture = await create()
    const good = fixture.store('panorama/shared/good', 'good')
    const binary = fixture.store('panorama/shared/binary', new Uint8Array([1, 2, 3]))
    fixture.store('panorama/shared/refused', 'correct-horse-battery')
    fixture.refuse('panorama/shared/refused')
    const ids = ['missing', 'good', 'refused', 'binary'].map((name) => `panorama/shared/${name}`)
    const outcome = await fixture.reader.batch(ids, signal)
    const outcomes = outcome.kind === 'answered' ? outcome.outcomes : undefined
    expect(outcomes?.get('panorama/shared/good')).toEqual({ kind: 'read', version: { versionId: good, text: 'good' } })
    expect(outcomes?.get('panorama/shared/binary')).toEqual({
      kind: 'read',
      version: { versionId: binary, text: undefined },
    })
    for (const secretId of ['panorama/shared/missing', 'panorama/shared/refused']) {
      const failed = outcomes?.get(secretId)
      const error = failed?.kind === 'failed' ? failed.error : undefined
      expect(error).toBeInstanceOf(AgentError)
      expect(error?.message).toContain(secretId)
      expect(error?.message).not.toContain('correct-horse')
    }
  })

  test('tells a batch that is denied as such from secrets that are', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'text')
    fixture.denyBatches()
    expect(await fixture.reader.batch([secretId], signal)).toEqual({
      kind: 'denied',
      error: expect.any(AgentError) as unknown,
    })
    expect(await fixture.reader.current(secretId, signal)).toMatchObject({ text: 'text' })
  })

  test('rejects batches and versions before with the reason of a signal that aborted', async () => {
    await using fixture = await create()
    fixture.store(secretId, 'text')
    const reason = new Error('stop')
    await expect(fixture.reader.batch([secretId], AbortSignal.abort(reason))).rejects.toBe(reason)
    await expect(fixture.reader.previous(secretId, AbortSignal.abort(reason))).rejects.toBe(reason)
  })
}
