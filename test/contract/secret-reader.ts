import { expect, test } from 'vitest'

import type { SecretReader } from '../../agent/cameras/secret-reader.ts'
import { AgentError } from '../../agent/lib/errors.ts'

/** A reader over no secrets, and the other side of it. */
export interface SecretReaderFixture extends AsyncDisposable {
  readonly reader: SecretReader
  /** Stores a first or another version as AWSCURRENT and answers its id. */
  readonly store: (secretId: string, value: string | Uint8Array) => string
  /** Makes reading the secret fail. */
  readonly refuse: (secretId: string) => void
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
}
