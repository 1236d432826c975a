import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { beforeAll, beforeEach, describe, expect, test } from 'vitest'

import {
  openIdentityStore,
  type IdentityStore,
  type NewIdentity,
  type StoreFiles,
} from '../../../agent/identity/identity-store.ts'
import { loadIdentity } from '../../../agent/identity/identity.ts'
import type { PendingCertificate, PendingKey } from '../../../agent/identity/pending-identity.ts'
import { authorityExtensions, makeCertificate } from '../../support/certificates.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const made: NewIdentity[] = []
const thingName = 'panorama_A1'

beforeAll(async () => {
  for (const commonName of ['first', 'second', 'third']) {
    const { pem, der, privateKey } = await makeCertificate({ commonName, extensions: authorityExtensions() })
    const certificateId = createHash('sha256').update(der).digest('hex')
    made.push({ kind: 'claim', certificateId, certificate: pem, privateKey })
  }
})

function identity(index: number): NewIdentity {
  const found = made[index]
  if (found === undefined) throw new Error('no such identity')
  return found
}

function pendingOf({ privateKey, certificate, certificateId }: NewIdentity) {
  const base = { kind: 'claim', template: 'panorama-appliance', clientId: 'panorama-appliance-A1', privateKey } as const
  const key: PendingKey = { ...base, step: 'key' }
  const unasked: PendingCertificate = { ...base, step: 'certificate', certificateId, certificate, token: 'token' }
  const registered: PendingCertificate = { ...unasked, step: 'registered', isAsked: true, thingName }
  return { key, unasked, registered }
}

const log = new RecordingLog()

beforeEach(() => {
  log.entries.splice(0)
})

function storeIn(folder: string, files?: StoreFiles): IdentityStore {
  const options = { folder, log, now: () => Date.UTC(2026, 10, 28) }
  return openIdentityStore(files === undefined ? options : { ...options, files })
}

/** The disk, where nothing happens any more from the nth change on. */
function diskUntil(nth: number): StoreFiles {
  let changes = 0
  const counted = (change: () => Promise<void>) => async (): Promise<void> => {
    changes += 1
    if (changes > nth) throw new Error('power cut')
    await change()
  }
  return {
    makeFolder: (path) =>
      counted(async () => {
        await mkdir(path, { recursive: true, mode: 0o700 })
      })(),
    write: (path, content) => counted(() => writeFile(path, content, { mode: 0o600 }))(),
    link: (path, target) =>
      counted(async () => {
        await rm(path, { force: true })
        await symlink(target, path)
      })(),
    remove: (path) => counted(() => rm(path, { recursive: true, force: true }))(),
  }
}

/** Cuts the power before each change of the disk that `work` makes, in turn, and repeats `work` after each. */
async function cutEverywhere(
  prepare: (store: IdentityStore) => Promise<void>,
  work: (store: IdentityStore) => Promise<void>,
  check: (store: IdentityStore) => Promise<void>,
): Promise<number> {
  for (let nth = 0; ; nth += 1) {
    await using folder = await tempFolder()
    await prepare(storeIn(folder.path))
    const isCut = await work(storeIn(folder.path, diskUntil(nth))).then(
      () => false,
      () => true,
    )
    await check(storeIn(folder.path))
    if (!isCut) return nth
    await work(storeIn(folder.path))
    await check(storeIn(folder.path))
  }
}

const nothing = async (): Promise<void> => Promise.resolve()

describe('a first identity', () => {
  const obtain = async (store: IdentityStore): Promise<void> => {
    const { key, unasked, registered } = pendingOf(identity(0))
    if ((await store.current()) === undefined) {
      const before = await store.pending()
      if (before === undefined) await store.savePending(key)
      if (before?.step !== 'registered') await store.savePending(unasked)
      await store.savePending(registered)
      await store.adopt(identity(0), thingName)
    }
    await store.settle('new')
    await store.dropPending()
  }

  test('is whole or not there, wherever the power is cut', async () => {
    const cuts = await cutEverywhere(nothing, obtain, async (store) => {
      const current = await store.current()
      const pending = await store.pending()
      if (current !== undefined) expect(current).toMatchObject({ thingName, ...pem(0) })
      else if (pending !== undefined) expect(pending.privateKey).toBe(identity(0).privateKey)
    })
    expect(cuts).toBeGreaterThan(12)
    expect(log.messages('error')).toEqual([])
  })

  test('has its key, certificate and token on the disk before it is registered', async () => {
    await using folder = await tempFolder()
    const { unasked } = pendingOf(identity(0))
    await storeIn(folder.path).savePending(unasked)
    expect(await storeIn(folder.path).pending()).toEqual({ ...unasked, isAsked: undefined, thingName: undefined })
  })

  test('is read through the link, and nobody else may read it', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await store.adopt(identity(0), thingName)
    const current = join(folder.path, 'current')
    expect(await readlink(current)).toBe(join('versions', identity(0).certificateId))
    for (const name of await readdir(current)) expect((await stat(join(current, name))).mode & 0o777).toBe(0o600)
    for (const name of ['versions', 'current']) expect((await stat(join(folder.path, name))).mode & 0o777).toBe(0o700)
    const rootCa = join(folder.path, 'root.pem')
    await writeFile(rootCa, identity(1).certificate)
    const seed = { rootCa }
    expect(await loadIdentity({ seed, liveFolder: current })).toMatchObject({ origin: 'live', ...pem(0) })
    expect(JSON.parse(await readFile(join(current, 'identity.json'), 'utf8'))).toEqual({
      version: 1,
      thingName,
      certificateId: identity(0).certificateId,
      obtainedBy: 'claim',
      at: '2026-11-28T00:00:00.000Z',
    })
  })

  test('that is not proven is taken away where there is none before', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await store.savePending(pendingOf(identity(0)).registered)
    await store.adopt(identity(0), thingName)
    await store.settle('previous')
    expect(await store.current()).toBeUndefined()
    expect(await readdir(join(folder.path, 'versions'))).toEqual([])
  })
})

describe('a second identity', () => {
  const first = async (store: IdentityStore): Promise<void> => {
    await store.adopt(identity(0), thingName)
  }
  const begin = async (store: IdentityStore): Promise<void> => {
    await store.savePending(pendingOf(identity(1)).registered)
    await store.adopt(identity(1), thingName)
  }
  const isEither = async (store: IdentityStore): Promise<void> => {
    const current = await store.current()
    expect([identity(0).certificateId, identity(1).certificateId]).toContain(current?.id)
  }

  test('keeps the one before until the trial ends', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await first(store)
    await begin(store)
    expect(await store.previous()).toMatchObject(pem(0))
    expect(await store.current()).toMatchObject(pem(1))
    await store.settle('new')
    expect(await store.previous()).toBeUndefined()
    expect(await store.current()).toMatchObject(pem(1))
    expect(await readdir(join(folder.path, 'versions'))).toEqual([identity(1).certificateId])
  })

  test('is kept, wherever the power is cut', async () => {
    const cuts = await cutEverywhere(
      first,
      async (store) => {
        await begin(store)
        await store.settle('new')
        await store.dropPending()
      },
      isEither,
    )
    expect(cuts).toBeGreaterThan(8)
  })

  test('is gone back from, wherever the power is cut, and never from the one that was gone back to', async () => {
    const cuts = await cutEverywhere(
      async (store) => {
        await first(store)
        await begin(store)
      },
      async (store) => {
        await store.settle('previous')
        await store.settle('previous')
        await store.dropPending()
      },
      isEither,
    )
    expect(cuts).toBeGreaterThan(4)
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await first(store)
    await begin(store)
    for (let times = 0; times < 3; times += 1) await store.settle('previous')
    expect(await store.current()).toMatchObject(pem(0))
  })

  test('on trial that a third one interrupts gives way to it, not the one that was proven', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await first(store)
    await begin(store)
    await store.adopt(identity(2), thingName)
    expect(await store.previous()).toMatchObject(pem(0))
    await store.settle('previous')
    expect(await store.current()).toMatchObject(pem(0))
  })

  test('changes nothing when it is adopted again', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await first(store)
    await begin(store)
    await begin(store)
    expect(await store.previous()).toMatchObject(pem(0))
  })
})

describe('damage', () => {
  test.each(['pending.json', 'private.key', 'certificate.pem'])('of %s begins anew', async (name) => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await store.savePending(pendingOf(identity(0)).unasked)
    await writeFile(join(folder.path, 'pending', name), 'x')
    expect(await store.pending()).toBeUndefined()
    await store.savePending(pendingOf(identity(1)).unasked)
    expect(await store.pending()).toMatchObject(pem(1))
  })

  test.each(['identity.json', 'private.key', 'certificate.pem'])('of the current %s is no identity', async (name) => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await store.adopt(identity(0), thingName)
    await writeFile(join(folder.path, 'current', name), '')
    expect(await store.current()).toBeUndefined()
    await store.adopt(identity(0), thingName)
    expect(await store.current()).toMatchObject(pem(0))
  })

  test('is not what cannot be read at the moment', async () => {
    await using folder = await tempFolder()
    await symlink('current', join(folder.path, 'current')) // ELOOP
    await expect(storeIn(folder.path).current()).rejects.toMatchObject({ retryable: true })
  })

  test('leaves a key of another pending identity in no mixture', async () => {
    await using folder = await tempFolder()
    const store = storeIn(folder.path)
    await store.savePending(pendingOf(identity(0)).registered)
    await store.savePending(pendingOf(identity(1)).key)
    expect(await store.pending()).toMatchObject({ step: 'key', privateKey: identity(1).privateKey })
  })
})

function pem(index: number): Pick<NewIdentity, 'certificate' | 'privateKey'> {
  const { certificate, privateKey } = identity(index)
  return { certificate, privateKey }
}

test('a trial is not ended before the identities that nobody uses any more are known', async () => {
  await using folder = await tempFolder()
  await symlink('versions', join(folder.path, 'versions')) // as unreadable as without descriptors, also for root
  await expect(storeIn(folder.path).settle('new')).rejects.toThrow('versions cannot be read at the moment')
})
