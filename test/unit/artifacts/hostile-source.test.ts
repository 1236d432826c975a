import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, it } from 'vitest'

import { AgentError } from '../../../agent/lib/errors.ts'
import { FakeArtifactSource } from '../../support/fake-artifact-source.ts'
import { appFolder, filesBelow, installedFiles, sha256, startWorker, tempFolder } from './artifact-fixture.ts'

interface Hostility {
  readonly what: string
  /** Makes the source bad; what it answers makes it good again. */
  readonly begin: (source: FakeArtifactSource) => () => void
  readonly says: RegExp
}

function extraKey(key: string, says: RegExp): Hostility {
  const begin = (source: FakeArtifactSource) => {
    source.put(`app/${key}`, 'hostile')
    return () => {
      source.remove(`app/${key}`)
    }
  }
  return { what: `the key ${JSON.stringify(key.slice(0, 30))}`, begin, says }
}

const hostilities: readonly Hostility[] = [
  extraKey('../../escape', /path segment "\.\."/),
  extraKey('/etc/passwd', /it is absolute/),
  extraKey('a\0b', /NUL/),
  extraKey('x'.repeat(300), /longer than 255 bytes/),
  extraKey('a/below', /needs a folder of that name/),
  {
    what: 'a bad key at the end of 100,000 objects',
    begin: (source) => {
      for (let index = 0; index < 100_000; index += 1) source.put(`app/many/${index}`, '')
      source.put('app/..', 'hostile')
      return () => {
        for (let index = 0; index < 100_000; index += 1) source.remove(`app/many/${index}`)
        source.remove('app/..')
      }
    },
    says: /path segment "\.\."/,
  },
  {
    what: 'a listing that says less than there is',
    begin: lyingBy(-1),
    says: /longer than the \d+ bytes that were listed/,
  },
  {
    what: 'a listing that says more than there is',
    begin: lyingBy(1),
    says: /ended after \d+ of \d+ bytes/,
  },
  {
    what: 'an object that is denied',
    begin: (source) => {
      source.beforeOpen = ({ key }) => {
        if (key === 'app/new') throw new AgentError(`s3:GetObject on ${key} failed with AccessDenied`)
      }
      return () => {
        source.beforeOpen = () => undefined
      }
    },
    says: /app\/new failed with AccessDenied/,
  },
  {
    what: 'an object that is gone between listing and download',
    begin: (source) => {
      source.beforeOpen = ({ key }) => {
        source.remove(key)
      }
      return () => {
        source.beforeOpen = () => undefined
        source.put('app/new', 'new')
      }
    },
    says: /"app\/new" was replaced or removed/,
  },
  {
    what: 'content that its name does not promise',
    begin: (source) => {
      const name = `app/${sha256('promised')}.tar.gz`
      source.put(name, 'other')
      return () => {
        source.remove(name)
      }
    },
    says: /has the sha256/,
  },
]

it.each(hostilities)('keeps the installed release through $what, says what it is, and recovers', async (hostility) => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  source.put('app/a', 'installed')
  await using running = startWorker(state, source)
  await running.pass()
  source.put('app/new', 'new')
  const end = hostility.begin(source)
  await expect(running.pass()).rejects.toThrow(hostility.says)
  expect(await installedFiles(state)).toEqual({ a: 'installed' })
  expect(running.worker.health()).toMatchObject({ state: 'failing' })
  expect(await filesBelow(join(appFolder(state), 'incoming'))).toEqual([])
  end()
  await running.pass()
  expect(await installedFiles(state)).toEqual({ a: 'installed', new: 'new' })
  expect((await readdir(state.path)).sort()).toEqual(['artifacts'])
})

it('installs objects without content, and no folder markers', async () => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  for (const key of ['app/', 'app/folder/', 'app/folder/empty']) source.put(key, '')
  await using running = startWorker(state, source)
  await running.pass()
  expect(await installedFiles(state)).toEqual({ 'folder/empty': '' })
})

it('follows no symlink that was planted in the place of stored content', async () => {
  await using state = await tempFolder()
  const secret = join(state.path, 'secret')
  await writeFile(secret, 'installed')
  const key = sha256('installed')
  const folder = join(appFolder(state), 'store/sha256', key.slice(0, 2))
  await mkdir(folder, { recursive: true })
  await symlink(secret, join(folder, `${key}-0444`))
  const source = new FakeArtifactSource('app/')
  source.put(`app/${key}.bin`, 'installed')
  await using running = startWorker(state, source)
  await running.pass()
  await rm(secret)
  expect(await installedFiles(state)).toEqual({ [`${key}.bin`]: 'installed' })
})

it('follows no link in the place of a folder of its own', async () => {
  await using state = await tempFolder()
  await using elsewhere = await tempFolder()
  await writeFile(join(elsewhere.path, 'precious'), 'kept')
  await mkdir(appFolder(state), { recursive: true })
  for (const name of ['incoming', 'partial', 'releases']) await symlink(elsewhere.path, join(appFolder(state), name))
  const source = new FakeArtifactSource('app/')
  source.put('app/a', 'installed')
  await using running = startWorker(state, source)
  await running.pass()
  await running.pass()
  expect(await installedFiles(state)).toEqual({ a: 'installed' })
  expect(await filesBelow(elsewhere.path)).toEqual(['precious'])
})

it('fetches what is right once, when another object of the same name has another size', async () => {
  await using state = await tempFolder()
  const source = new FakeArtifactSource('app/')
  source.put('app/good', 'installed')
  await using running = startWorker(state, source)
  await running.pass()
  const name = sha256('whole')
  source.put(`app/a/${name}`, 'whole')
  source.put(`app/b/${name}`, 'who')
  for (let pass = 0; pass < 3; pass += 1) await expect(running.pass()).rejects.toThrow('has 3 bytes in the source')
  expect(source.opened).toEqual(['app/good', `app/a/${name}`])
  expect(await installedFiles(state)).toEqual({ good: 'installed' })
  source.put(`app/b/${name}`, 'whole')
  await running.pass()
  expect(source.opened).toHaveLength(2)
})

/** The listing is wrong about the size of the new object. */
function lyingBy(bytes: number): Hostility['begin'] {
  return (source) => {
    const list = source.list.bind(source)
    source.list = async (signal) =>
      (await list(signal)).map((object) =>
        object.key === 'app/new' ? { ...object, sizeBytes: object.sizeBytes + bytes } : object,
      )
    return () => {
      source.list = list
    }
  }
}
