import { mkdir, readdir, readlink, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'

import { describe, expect, test } from 'vitest'

import { finishReset } from '../../../agent/reset/finish-reset.ts'
import { readResetMarker, writeResetMarker, type ResetMarker } from '../../../agent/reset/reset-marker.ts'
import { wipeFiles, type WipeFiles } from '../../../agent/reset/wipe-files.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const { signal } = new AbortController()

const ofState = [
  'identity/versions/a1/private.key',
  'identity/pending/pending.json.unreadable',
  'identity/rotation.json',
  'identity/sealing-key',
  'cameras/dock-1.sealed',
  'cameras/refusals.json',
  'config/base.json',
  'config/12.json',
  'config/13.json.unreadable',
  'jobs/ledger.json',
  'logs/cursors.json',
  'artifacts/model/releases/r1/model.bin',
  'artifacts/model/store/sha256/ab/key',
  'artifacts/model/source.json',
  'artifacts/.model/partial/x.data',
  'clock.json',
  'clock.json.unreadable/x',
  'traffic.json',
  '.0123456789ab.tmp',
]
const ofRuntime = [
  'cameras/dock-1.json',
  'applications/people-counter/token',
  'requests/a.json',
  'log-cursors.json',
  'log-cursors.json.tmp',
  'camera-hooks.json',
  'console-message',
  'last-exit',
  '.last-exit.12',
]
const ofOthers = ['state/lock', 'state/notes.txt', 'state/config/theirs.conf', 'state/artifacts/README', 'claim/readme']

interface Box extends AsyncDisposable {
  readonly state: string
  readonly marker: ResetMarker
  /** Every file and link of before. */
  readonly before: readonly string[]
  /** Those that are there now. */
  readonly files: () => Promise<readonly string[]>
  readonly finish: (files?: WipeFiles) => Promise<void>
}

async function box(decommission = false): Promise<Box> {
  const owned = await tempFolder()
  const folder = owned.path
  const state = join(folder, 'state')
  const runtime = join(folder, 'run')
  const identityFiles = decommission ? [join(folder, 'claim', 'private.key')] : []
  const all = [...ofState.map((path) => `state/${path}`), ...ofRuntime.map((path) => `run/${path}`), ...ofOthers]
  for (const path of [...all, 'claim/private.key']) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), 'x')
  }
  await symlink('versions/a1', join(state, 'identity', 'current'))
  await symlink('releases/r1', join(state, 'artifacts', 'model', 'current'))
  const files = async (): Promise<readonly string[]> => {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const found = entries.filter((each) => !each.isDirectory())
    return found.map(({ parentPath, name }) => relative(folder, join(parentPath, name))).toSorted()
  }
  const marker: ResetMarker = { version: 1, decommission, runtime, identityFiles }
  return {
    state,
    marker,
    before: await files(),
    files,
    finish: (disk = wipeFiles) => finishReset(state, marker, { files: disk, signal }),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  }
}

/** A disk in memory, of files alone, where nothing happens any more from the nth change on. */
function memoryDisk(files: Set<string>, nth = Infinity): WipeFiles {
  let changes = 0
  const within = (folder: string): readonly string[] => [...files].filter((path) => path.startsWith(`${folder}/`))
  const counted = async <T>(change: () => T): Promise<T> => {
    changes += 1
    return await (changes > nth ? Promise.reject(new Error('power cut')) : Promise.resolve(change()))
  }
  return {
    list: (folder) =>
      Promise.resolve([...new Set(within(folder).map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))]),
    remove: (path) => counted(() => files.delete(path) || within(path).length === 0),
    removeTree: (path) =>
      counted(() => {
        for (const each of [path, ...within(path)]) files.delete(each)
      }),
    removeFolder: (path) => counted(() => within(path).length === 0),
    sync: () => counted(() => undefined),
  }
}

describe('a reset', () => {
  test('leaves nothing but the lock and what others put there', async () => {
    await using here = await box()
    await writeResetMarker(here.state, here.marker)
    await here.finish()
    expect(await here.files()).toEqual([...ofOthers, 'claim/private.key'].toSorted())
    expect(await readdir(here.state)).toEqual(['artifacts', 'config', 'lock', 'notes.txt'])
    expect(await readdir(join(here.state, '..', 'run'))).toEqual([])
  })

  test('is finished from wherever it was cut off', async () => {
    const marker: ResetMarker = {
      version: 1,
      decommission: true,
      runtime: '/run',
      identityFiles: ['/claim/private.key'],
    }
    const all = [...ofState.map((path) => `state/${path}`), ...ofRuntime.map((path) => `run/${path}`), ...ofOthers]
    const before = ['state/reset.json', 'claim/private.key', ...all].map((path) => `/${path}`)
    const after = ofOthers.map((path) => `/${path}`)
    let isCut = true
    for (let nth = 0; isCut; nth += 1) {
      const files = new Set(before)
      isCut = await finishReset('/state', marker, { files: memoryDisk(files, nth), signal }).then(
        () => false,
        () => true,
      )
      if (files.has('/state/reset.json')) await finishReset('/state', marker, { files: memoryDisk(files), signal })
      expect([...files], `cut at ${nth}`).toEqual(after)
      if (!isCut) expect(nth).toBeGreaterThan(40)
    }
  })

  test('begins with who the appliance is, and ends with the marker, once every folder is durably empty', async () => {
    await using here = await box()
    await writeResetMarker(here.state, here.marker)
    const steps: string[] = []
    const unsynced = new Set<string>()
    const noted = async <T>(path: string, change: () => Promise<T>): Promise<T> => {
      const name = relative(join(here.state, '..'), path)
      if (name === 'state/reset.json') expect([...unsynced]).toEqual([])
      steps.push(name)
      unsynced.add(dirname(path))
      unsynced.delete(path) // a folder that is gone needs only its own name gone
      return await change()
    }
    await here.finish({
      list: wipeFiles.list,
      remove: (path) => noted(path, () => wipeFiles.remove(path)),
      removeTree: (path) => noted(path, () => wipeFiles.removeTree(path)),
      removeFolder: (path) => noted(path, () => wipeFiles.removeFolder(path)),
      sync: async (folder) => {
        unsynced.delete(folder)
        await wipeFiles.sync(folder)
      },
    })
    expect(steps[0]).toBe('state/identity/current')
    expect(steps.findIndex((step) => step.startsWith('state/artifacts'))).toBeGreaterThan(
      steps.findIndex((step) => step.startsWith('run/cameras')),
    )
    expect(steps.at(-1)).toBe('state/reset.json')
    expect(unsynced.size).toBe(0)
  })

  test('wipes what a linked folder holds, and leaves the link to where the operator put it', async () => {
    await using here = await box()
    await using disk = await tempFolder()
    await mkdir(join(disk.path, 'model', 'releases'), { recursive: true })
    await writeFile(join(disk.path, 'others'), 'x')
    await wipeFiles.removeTree(join(here.state, 'artifacts'))
    await symlink(disk.path, join(here.state, 'artifacts'))
    await here.finish()
    expect(await readdir(disk.path)).toEqual(['others'])
    expect(await readlink(join(here.state, 'artifacts'))).toBe(disk.path)
  })

  test('ends at once when it is told to, and is gone on with', async () => {
    await using here = await box()
    await writeResetMarker(here.state, here.marker)
    const stopped = AbortSignal.abort(new Error('stopped'))
    await expect(finishReset(here.state, here.marker, { files: wipeFiles, signal: stopped })).rejects.toThrow('stopped')
    expect(await readResetMarker(here.state)).toEqual(here.marker)
  })
})

describe('a decommission', () => {
  test('removes the claim as well', async () => {
    await using here = await box(true)
    await here.finish()
    expect(await here.files()).toEqual(ofOthers.toSorted())
  })

  test('that cannot remove it wipes all else, names it, and is not over', async () => {
    await using here = await box(true)
    await writeResetMarker(here.state, here.marker)
    const [claim = ''] = here.marker.identityFiles
    const remove: WipeFiles['remove'] = async (path) => {
      if (path === claim) throw Object.assign(new Error('read-only'), { code: 'EROFS' })
      return await wipeFiles.remove(path)
    }
    await expect(here.finish({ ...wipeFiles, remove })).rejects.toThrow(
      `files with an identity remain: ${claim} (EROFS)`,
    )
    expect(await here.files()).toEqual([...ofOthers, 'claim/private.key', 'state/reset.json'].toSorted())
  })
})

describe('the marker', () => {
  test.each(['', '{"version":2}'])('means a reset also when it is damaged: %j', async (text) => {
    await using here = await box()
    await writeFile(join(here.state, 'reset.json'), text)
    const marker = await readResetMarker(here.state)
    if (marker === undefined) throw new Error('it is not seen')
    await finishReset(here.state, marker, { files: wipeFiles, signal })
    expect((await here.files()).filter((path) => path.startsWith('state/'))).toEqual(
      ofOthers.filter((path) => path.startsWith('state/')).toSorted(),
    )
  })

  test('is not there where nothing is to be reset', async () => {
    await using here = await box()
    expect(await readResetMarker(here.state)).toBeUndefined()
    expect(await readResetMarker(join(here.state, 'none'))).toBeUndefined()
  })
})
