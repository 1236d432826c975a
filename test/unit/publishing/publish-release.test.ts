import { createHash } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { parseManifest } from '../../../agent/artifacts/release/release-manifest.ts'
import { trustedKey, unverifiedPayload, verifiedPayload } from '../../../agent/artifacts/release/release-signature.ts'
import type { PublisherKey } from '../../../agent/publishing/manifest-signature.ts'
import { publishRelease, type PublishOptions } from '../../../agent/publishing/publish-release.ts'
import type { ReleaseDestination } from '../../../agent/publishing/release-destination.ts'
import type { LocalFile } from '../../../agent/publishing/release-folder.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { manifestPayload, signed, signingKey, unsigned, type SigningKey } from '../../support/signed-manifest.ts'

const { signal } = new AbortController()

describe('publishRelease', () => {
  it('uploads each content once, and the manifest last', async () => {
    const destination = new FakeDestination()
    const files = [localFile('a', 'same'), localFile('b', 'same'), localFile('c', 'other')]
    const published = await publishRelease(options(destination, { files }), signal)
    expect(published).toEqual({ sequence: 1, uploadedFiles: 2, uploadedBytes: 9 })
    expect(destination.calls).toEqual(['upload same', 'upload other', 'replace undefined'])
    expect(destination.manifest()).toMatchObject({
      name: 'app',
      sequence: 1,
      version: 'v',
      files: [{ path: 'a' }, {}, {}],
    })
  })

  it('uploads nothing that is there in its full size', async () => {
    const destination = new FakeDestination()
    const [whole, short] = [localFile('a', 'whole'), localFile('b', 'short')]
    destination.sizes.set(`objects/${whole.sha256}`, 5).set(`objects/${short.sha256}`, 4)
    await publishRelease(options(destination, { files: [whole, short] }), signal)
    expect(destination.calls).toEqual(['upload short', 'replace undefined'])
  })

  it('leaves the manifest as it is when an upload fails', async () => {
    const destination = new FakeDestination()
    destination.failure = new AgentError('the line is down')
    await expect(publishRelease(options(destination), signal)).rejects.toThrow('the line is down')
    expect(destination.calls).toEqual(['upload content'])
  })

  it('takes the sequence above that of the manifest there, and signs so that an appliance believes it', async () => {
    const key = await signingKey()
    const destination = new FakeDestination(await signed(manifestPayload({ sequence: 41 }), key))
    const published = await publishRelease(options(destination, { key: await publisherKey(key) }), signal)
    expect(published.sequence).toBe(42)
    const payload = await verifiedPayload(destination.written, [await trustedKey(key.publicPem, 'key')])
    expect(parseManifest(payload)).toMatchObject({ sequence: 42 })
    expect(destination.calls.at(-1)).toBe('replace "etag"')
  })

  it('says that somebody else published meanwhile', async () => {
    const destination = new FakeDestination()
    destination.outcome = 'changed'
    await expect(publishRelease(options(destination), signal)).rejects.toThrow(
      'somebody else published "app" meanwhile',
    )
  })

  it.each<{ what: string; why: RegExp; jws: (key: SigningKey) => Promise<string> | string; signs: boolean }>([
    {
      what: 'of another artifact',
      why: /the releases of "other"/,
      jws: (key) => signed(manifestPayload({ name: 'other' }), key),
      signs: true,
    },
    { what: 'that nobody signed, with a key', why: /not one that this key signed/, jws: unsignedOne, signs: true },
    {
      what: 'that another key signed',
      why: /not one that this key signed/,
      jws: async () => await signed(manifestPayload({ sequence: 7 }), await signingKey()),
      signs: true,
    },
    {
      what: 'that is signed, without a key',
      why: /is signed, and/,
      jws: (key) => signed(manifestPayload(), key),
      signs: false,
    },
    { what: 'that is no manifest', why: /no compact JWS/, jws: () => 'x', signs: true },
  ])('does not go on from a manifest $what, but with a sequence that is named', async ({ why, jws, signs }) => {
    const key = await signingKey()
    const destination = new FakeDestination(await jws(key))
    const chosen = options(destination, { key: signs ? await publisherKey(key) : undefined })
    await expect(publishRelease(chosen, signal)).rejects.toThrow(why)
    expect(destination.calls).toEqual([])
    expect(await publishRelease({ ...chosen, sequence: 9 }, signal)).toMatchObject({ sequence: 9 })
    expect(destination.calls.at(-1)).toBe('replace "etag"')
  })

  it('tells how far it is, up to all of it', async () => {
    const seen: unknown[] = []
    const files = [localFile('a', '1'), localFile('b', '22')]
    const onProgress = (progress: unknown): unknown => seen.push(progress)
    await publishRelease(options(new FakeDestination(), { files, onProgress }), signal)
    expect(seen.at(-1)).toEqual({ files: 2, totalFiles: 2, bytes: 3, totalBytes: 3 })
  })
})

function unsignedOne(): string {
  return unsigned(manifestPayload())
}

function options(destination: ReleaseDestination, changes: Partial<PublishOptions> = {}): PublishOptions {
  return {
    destination,
    files: [localFile('file', 'content')],
    name: 'app',
    version: 'v',
    key: undefined,
    sequence: undefined,
    nowMs: Date.UTC(2026, 10, 24),
    onProgress: () => undefined,
    ...changes,
  }
}

/** The fake reads the content from where the file would be. */
function localFile(path: string, content: string): LocalFile {
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { path, file: content, sizeBytes: content.length, sha256, executable: false }
}

async function publisherKey({ privateKey, publicPem }: SigningKey): Promise<PublisherKey> {
  return { privateKey, trusted: await trustedKey(publicPem, 'key') }
}

class FakeDestination implements ReleaseDestination {
  readonly calls: string[] = []
  readonly sizes = new Map<string, number>()
  failure: AgentError | undefined
  outcome: 'replaced' | 'changed' = 'replaced'
  written = ''
  readonly #before: string | undefined

  constructor(before?: string) {
    this.#before = before
  }

  manifest(): unknown {
    return parseManifest(unverifiedPayload(this.written))
  }

  readManifest: ReleaseDestination['readManifest'] = () =>
    Promise.resolve(this.#before === undefined ? 'absent' : { etag: '"etag"', bytes: Buffer.from(this.#before) })

  sizesBelow: ReleaseDestination['sizesBelow'] = () => Promise.resolve(this.sizes)

  upload: ReleaseDestination['upload'] = (upload, { onBytes }) => {
    this.calls.push(`upload ${upload.file}`)
    if (this.failure !== undefined) return Promise.reject(this.failure)
    onBytes(upload.sizeBytes)
    return Promise.resolve()
  }

  replaceManifest: ReleaseDestination['replaceManifest'] = (bytes, etag) => {
    this.calls.push(`replace ${String(etag)}`)
    this.written = Buffer.from(bytes).toString()
    return Promise.resolve(this.outcome)
  }
}
