import { readFile, stat, writeFile } from 'node:fs/promises'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'

import { base64url } from 'jose'
import { describe, expect, it } from 'vitest'

import { ReleaseFinder, type InstalledHere } from '../../../../agent/artifacts/release/release-finder.ts'
import { SourceState } from '../../../../agent/artifacts/release/source-state.ts'
import type { WantedRelease } from '../../../../agent/artifacts/release/wanted-release.ts'
import { FakeArtifactSource } from '../../../support/fake-artifact-source.ts'
import {
  manifestFile,
  manifestPayload,
  signed,
  signingKey,
  unsigned,
  type SigningKey,
} from '../../../support/signed-manifest.ts'
import { recordedLog, sha256, tempFolder, type TempFolder } from '../artifact-fixture.ts'

const nothingInstalled: InstalledHere = { files: 0, isSettled: () => false }
const allSettled: InstalledHere = { files: 1, isSettled: () => true }

describe('with trusted keys', () => {
  it.each(['ES256', 'EdDSA'] as const)('believes a manifest that one of them signed with %s', async (alg) => {
    await using folder = await tempFolder()
    const [other, key] = [await signingKey(), await signingKey(alg)]
    const at = await appliance(folder, [other.publicPem, key.publicPem])
    const files = [{ ...manifestFile('bin/run', '#!'), executable: true, versionId: 'v-1' }, manifestFile('a', 'b')]
    const payload = manifestPayload({ sequence: 7, files, later: { chunks: [1] } })
    at.source.put('app/release.jws', await signed(payload, key))

    expect(await at.find()).toMatchObject({
      wishId: sha256(payload),
      manifest: { sequence: 7, version: 'v1', createdAt: '2026-11-24T03:00:00.000Z', verified: true },
      files: [
        {
          path: 'bin/run',
          object: { key: `app/objects/${sha256('#!')}`, sizeBytes: 2, versionId: 'v-1' },
          promised: sha256('#!'),
          executable: true,
        },
        { path: 'a', promised: sha256('b'), executable: false },
      ],
    })
    expect(at.source.listings).toBe(0)
  })

  it('reads keys from files too, and names a file that is not there', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const path = join(folder.path, 'publisher.pem')
    const at = await appliance(folder, [path])
    at.source.put('app/release.jws', await signed(manifestPayload(), key))

    await expect(at.find()).rejects.toThrow(`${path} cannot be read (ENOENT)`)
    await writeFile(path, key.publicPem)
    expect(await at.find()).toMatchObject({ manifest: { sequence: 1 } })
  })

  it.each<{ what: string; why: string; jws: (key: SigningKey) => Promise<string> | string }>([
    { what: 'unsigned', why: 'it is not signed', jws: () => unsigned(manifestPayload()) },
    {
      what: 'signed with a key that is not trusted',
      why: 'and trusted are',
      jws: async () => await signed(manifestPayload(), await signingKey()),
    },
    {
      what: "signed with another key under the trusted one's id",
      why: 'its signature is wrong',
      jws: async ({ kid }) => await signed(manifestPayload(), await signingKey(), { kid }),
    },
    {
      what: 'signed by a key of another kind under that id',
      why: 'its signature says EdDSA',
      jws: async ({ kid }) => await signed(manifestPayload(), await signingKey('EdDSA'), { kid }),
    },
    {
      what: 'signed without a key id',
      why: '(kid)',
      jws: async (key) => await signed(manifestPayload(), key, { kid: undefined }),
    },
    {
      what: 'signed by HMAC with the public key',
      why: 'signed by HS256',
      jws: ({ kid, publicPem }) => {
        const head = `${base64url.encode(JSON.stringify({ alg: 'HS256', kid }))}.${base64url.encode(manifestPayload())}`
        return `${head}.${createHmac('sha256', publicPem).update(head).digest('base64url')}`
      },
    },
    {
      what: 'changed after it was signed',
      why: 'its signature is wrong',
      jws: async (key) => {
        const [head = '', , signature = ''] = (await signed(manifestPayload(), key)).split('.')
        return `${head}.${base64url.encode(manifestPayload({ sequence: 2 }))}.${signature}`
      },
    },
    { what: 'no JWS at all', why: 'no compact JWS', jws: () => '<html>please log in</html>' },
    { what: 'empty', why: 'no compact JWS', jws: () => '' },
    {
      what: 'for another artifact',
      why: 'it is for "other", not for "app"',
      jws: async (key) => await signed(manifestPayload({ name: 'other' }), key),
    },
    {
      what: 'of a later schema',
      why: 'its schema is 2, this agent knows 1',
      jws: async (key) => await signed(manifestPayload({ schema: 2, files: 'elsewhere' }), key),
    },
  ])('refuses a manifest that is $what, and does not fetch it again', async ({ why, jws }) => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    at.source.put('app/release.jws', await jws(key))

    await expect(at.find()).rejects.toThrow(why)
    await expect(at.find()).rejects.toThrow(why)
    expect(at.sentEtags).toEqual([undefined, expect.stringMatching(/^"/)])
    at.source.put('app/release.jws', await signed(manifestPayload(), key))
    expect(await at.find()).toMatchObject({ manifest: { sequence: 1 } })
  })

  it('refuses a sequence below the highest accepted, also after a restart', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const old = await signed(manifestPayload({ sequence: 3 }), key)
    const before = await appliance(folder, [key.publicPem])
    before.source.put('app/release.jws', await signed(manifestPayload({ sequence: 4 }), key))
    await before.find()

    const after = await appliance(folder, [key.publicPem])
    after.source.put('app/release.jws', old)
    await expect(after.find()).rejects.toThrow('sequence 3 is below 4')
    after.source.put('app/release.jws', await signed(manifestPayload({ sequence: 5 }), key))
    expect(await after.find()).toMatchObject({ manifest: { sequence: 5 } })
  })

  it('refuses another manifest under the highest sequence, and takes the same one signed anew', async () => {
    await using folder = await tempFolder()
    const [old, fresh] = [await signingKey(), await signingKey('EdDSA')]
    const at = await appliance(folder, [old.publicPem, fresh.publicPem])
    at.source.put('app/release.jws', await signed(manifestPayload(), old))
    await at.find()
    at.source.put('app/release.jws', await signed(manifestPayload({ version: 'v1 again' }), old))
    await expect(at.find()).rejects.toThrow('another manifest with its sequence 1 was accepted')
    at.source.put('app/release.jws', await signed(manifestPayload(), fresh))
    expect(await at.find()).toMatchObject({ manifest: { sequence: 1 } })
  })

  it('does not count what is refused for something else as accepted', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    at.source.put('app/release.jws', await signed(manifestPayload({ sequence: 9, name: 'other' }), key))
    await expect(at.find()).rejects.toThrow('it is for')
    at.source.put('app/release.jws', await signed(manifestPayload({ sequence: 2 }), key))
    expect(await at.find()).toMatchObject({ manifest: { sequence: 2 } })
  })

  it('says that there is no manifest instead of taking the listing', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [(await signingKey()).publicPem])
    at.source.put('app/model.bin', 'weights')
    await expect(at.find(allSettled)).rejects.toThrow('there is no manifest app/release.jws')
    expect(at.source.listings).toBe(0)
  })
})

describe('without trusted keys', () => {
  it('takes the listing while it shows no manifest', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/model.bin', 'weights')
    at.source.put('app/sub/release.jws', 'not at the root')
    const wanted = await at.find()
    expect(wanted).toMatchObject({ files: [{ path: 'model.bin' }, { path: 'sub/release.jws' }] })
    expect(wanted).not.toHaveProperty('manifest')
  })

  it.each(['signed', 'unsigned'] as const)('takes a manifest that is %s, and calls it unverified', async (how) => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    const payload = manifestPayload()
    at.source.put('app/release.jws', how === 'signed' ? await signed(payload, await signingKey()) : unsigned(payload))
    expect(await at.find()).toMatchObject({ files: [{ path: 'model.bin' }], manifest: { verified: false } })
  })

  it('does not let what nobody signed decide about the sequence of signed manifests', async () => {
    await using folder = await tempFolder()
    const before = await appliance(folder, [])
    before.source.put('app/release.jws', unsigned(manifestPayload({ sequence: 1_000_000 })))
    await before.find()
    const key = await signingKey()
    const after = await appliance(folder, [key.publicPem])
    after.source.put('app/release.jws', await signed(manifestPayload({ sequence: 2 }), key))
    expect(await after.find()).toMatchObject({ manifest: { sequence: 2, verified: true } })
  })

  it('keeps the release when a manifest that was there goes, and what it named is all that is left', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/release.jws', unsigned(manifestPayload()))
    at.source.put(`app/objects/${sha256('weights')}`, 'weights')
    await at.settle(await at.find())
    at.source.remove('app/release.jws')
    await expect(at.find(allSettled)).rejects.toThrow('there is no manifest')
  })
})

describe('when nothing changed', () => {
  it('asks one conditional question about a manifest, also after a restart', async () => {
    const key = await signingKey()
    for (const keys of [[], [key.publicPem]]) {
      await using own = await tempFolder()
      const jws = await signed(manifestPayload(), key)
      const before = await appliance(own, keys)
      before.source.put('app/release.jws', jws)
      await before.settle(await before.find())

      const after = await appliance(own, keys)
      after.source.put('app/release.jws', jws)
      expect(await after.find(allSettled)).toBe('unchanged')
      expect(after.sentEtags).toEqual([expect.stringMatching(/^"/)])
      expect(after.source.listings).toBe(0)
    }
  })

  it('does so as well after a manifest that was refused', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    at.source.put('app/release.jws', 'no manifest')
    await expect(at.find()).rejects.toThrow('refused')
    at.source.put('app/release.jws', await signed(manifestPayload(), key))
    await at.settle(await at.find())
    expect(await at.find(allSettled)).toBe('unchanged')
  })

  it('does so as well when the settled manifest is there again after one that was refused', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    const jws = await signed(manifestPayload(), key)
    at.source.put('app/release.jws', jws)
    await at.settle(await at.find())
    at.source.put('app/release.jws', 'no manifest')
    await expect(at.find(allSettled)).rejects.toThrow('refused')
    at.source.put('app/release.jws', jws)
    expect(await at.find(allSettled)).toBe('unchanged')
    expect(await at.find(allSettled)).toBe('unchanged')
    expect(at.answers).toEqual(['whole', 'whole', 'whole', 'unchanged'])
  })

  it('answers so for an equal listing as well', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/a', '1')
    await at.settle(await at.find())
    expect(await at.find(allSettled)).toBe('unchanged')
    at.source.put('app/b', '1')
    expect(await at.find(allSettled)).toMatchObject({ files: [{ path: 'a' }, { path: 'b' }] })
  })

  it('asks for all of it when the release is not there any more', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/release.jws', unsigned(manifestPayload()))
    await at.settle(await at.find())
    expect(await at.find(nothingInstalled)).toMatchObject({ files: [{ path: 'model.bin' }] })
  })

  it('asks anew whom to believe when the keys change', async () => {
    await using folder = await tempFolder()
    const [old, fresh] = [await signingKey(), await signingKey()]
    const before = await appliance(folder, [old.publicPem])
    const jws = await signed(manifestPayload(), old)
    before.source.put('app/release.jws', jws)
    await before.settle(await before.find())

    const after = await appliance(folder, [fresh.publicPem])
    after.source.put('app/release.jws', jws)
    await expect(after.find(allSettled)).rejects.toThrow('and trusted are')
  })

  it('starts over when its own file cannot be read, and says so', async () => {
    await using folder = await tempFolder()
    await writeFile(join(folder.path, 'source.json'), '{"version":1,"highest":')
    const at = await appliance(folder, [])
    at.source.put('app/a', '1')
    expect(await at.find()).toMatchObject({ files: [{ path: 'a' }] })
    expect(at.lines.map(({ text }) => text).join()).toContain('set aside')
  })
})

describe('while what it wishes is not installed', () => {
  it.each(['with', 'without'])('asks one conditional question %s trusted keys, also after a restart', async (how) => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const keys = how === 'with' ? [key.publicPem] : []
    const jws = await signed(manifestPayload(), key)
    const before = await appliance(folder, keys)
    before.source.put('app/release.jws', jws)
    const wanted = await before.find()
    await before.keep()
    expect(await before.find()).toEqual(wanted)

    const after = await appliance(folder, keys)
    after.source.put('app/release.jws', jws)
    for (let pass = 0; pass < 2; pass += 1) {
      expect(await after.find()).toEqual(wanted)
      await after.keep()
    }
    const known = expect.stringMatching(/^"/) as unknown
    expect([...before.sentEtags, ...after.sentEtags]).toEqual([undefined, known, known, known])
    expect(after.source.listings).toBe(0)
  })

  it('writes what it keeps once, and removes it when it is settled', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/release.jws', unsigned(manifestPayload()))
    const path = join(folder.path, 'manifest.json')
    await at.find()
    await expect(stat(path)).rejects.toThrow('ENOENT')
    await at.keep()
    const { ino } = await stat(path)
    const wanted = await at.find()
    await at.keep()
    expect((await stat(path)).ino).toBe(ino)
    await at.settle(wanted)
    await expect(stat(path)).rejects.toThrow('ENOENT')
    expect(await at.find(allSettled)).toBe('unchanged')
  })

  it('reads a manifest whole that has changed, and one of other keys', async () => {
    await using folder = await tempFolder()
    const [key, other] = [await signingKey(), await signingKey()]
    const before = await appliance(folder, [key.publicPem])
    before.source.put('app/release.jws', await signed(manifestPayload(), key))
    await before.find()
    await before.keep()
    before.source.put('app/release.jws', await signed(manifestPayload({ sequence: 2 }), key))
    expect(await before.find()).toMatchObject({ manifest: { sequence: 2 } })
    await before.keep()

    const after = await appliance(folder, [key.publicPem, other.publicPem])
    after.source.put('app/release.jws', await signed(manifestPayload({ sequence: 2 }), key))
    expect(await after.find()).toMatchObject({ manifest: { sequence: 2 } })
    expect(after.sentEtags).toEqual([undefined])
  })

  it('asks so too while an older one is installed, and takes that when the source has it again', async () => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    const [older, newer] = [await signed(manifestPayload(), key), await signed(manifestPayload({ sequence: 2 }), key)]
    at.source.put('app/release.jws', older)
    const installed = await at.find()
    await at.settle(installed)
    const olderIsSettled: InstalledHere = {
      files: 1,
      isSettled: ({ wishId }) => installed !== 'unchanged' && wishId === installed.wishId,
    }
    at.source.put('app/release.jws', newer)
    const wanted = await at.find(olderIsSettled)
    await at.keep()
    expect(await at.find(olderIsSettled)).toEqual(wanted)
    expect(at.answers).toEqual(['whole', 'whole', 'unchanged'])

    at.source.put('app/release.jws', older)
    expect(await at.find(olderIsSettled)).toBe('unchanged')
  })

  it.each<[string, (text: string) => string]>([
    ['was changed', (text) => text.replace(/.{8}"}\n$/, '"}\n')],
    ['is cut off', (text) => text.slice(0, 30)],
  ])('reads the manifest again when what it kept %s', async (_, damage) => {
    await using folder = await tempFolder()
    const key = await signingKey()
    const at = await appliance(folder, [key.publicPem])
    at.source.put('app/release.jws', await signed(manifestPayload(), key))
    const wanted = await at.find()
    await at.keep()
    const path = join(folder.path, 'manifest.json')
    const text = await readFile(path, 'utf8')
    await writeFile(path, damage(text))
    expect(await at.find()).toEqual(wanted)
    expect(at.sentEtags.at(-1)).toBeUndefined()
    await at.keep()
    expect(await readFile(path, 'utf8')).toBe(text)
  })

  it('does not take the listing when the manifest goes', async () => {
    await using folder = await tempFolder()
    const at = await appliance(folder, [])
    at.source.put('app/release.jws', unsigned(manifestPayload()))
    at.source.put(`app/objects/${sha256('weights')}`, 'weights')
    await at.find()
    await at.keep()
    at.source.remove('app/release.jws')
    await expect(at.find()).rejects.toThrow('there is no manifest')
  })
})

interface Appliance {
  readonly source: FakeArtifactSource
  readonly lines: ReturnType<typeof recordedLog>['lines']
  /** The etag of each read of the manifest. */
  readonly sentEtags: readonly (string | undefined)[]
  /** What came of each. */
  readonly answers: readonly string[]
  readonly find: (installed?: InstalledHere) => Promise<WantedRelease | 'unchanged'>
  readonly settle: (wanted: WantedRelease | 'unchanged') => Promise<void>
  readonly keep: () => Promise<void>
}

/** A finder as it is after a start, over an empty source. */
async function appliance(folder: TempFolder, trustedKeys: readonly string[]): Promise<Appliance> {
  const source = new FakeArtifactSource('app/')
  const sentEtags: (string | undefined)[] = []
  const answers: string[] = []
  const watched = {
    list: (signal: AbortSignal) => source.list(signal),
    open: source.open.bind(source),
    heldChecksum: source.heldChecksum.bind(source),
    readSmall: async (...[path, options]: Parameters<FakeArtifactSource['readSmall']>) => {
      sentEtags.push(options.etag)
      const answer = await source.readSmall(path, options)
      answers.push(typeof answer === 'string' ? answer : 'whole')
      return answer
    },
  }
  const { log, lines } = recordedLog()
  const state = await SourceState.load(folder.path, log)
  const finder = new ReleaseFinder({
    source: watched,
    name: 'app',
    accessPoint: 'arn',
    prefix: 'app/',
    trustedKeys,
    folder: folder.path,
    log,
  })
  const { signal } = new AbortController()
  return {
    source,
    lines,
    sentEtags,
    answers,
    find: async (installed = nothingInstalled) => await finder.find(state, installed, signal),
    settle: async (wanted) => {
      if (wanted === 'unchanged') throw new Error('there is nothing to settle')
      await state.settle(wanted, 'release-1')
      await finder.settled()
    },
    keep: () => finder.keep(),
  }
}
