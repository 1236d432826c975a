import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { SealedCameras } from '../../../agent/cameras/sealed-cameras.ts'
import { credentialName } from '../../../agent/cameras/sealing-key.ts'
import { cameraFile } from '../../support/camera-file.ts'
import { RecordingLog } from '../../support/recording-log.ts'
import { runCommand } from '../../support/run-command.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const first = cameraFile({ password: 'marked-one' })
const second = cameraFile({ password: 'marked-two', versionId: 'v2' })

interface Bench extends AsyncDisposable {
  readonly folder: string
  readonly keyFile: string
  readonly log: RecordingLog
  /** The copies as another start of the agent has them. */
  readonly start: (options?: { thingName?: string }) => SealedCameras
  readonly giveCredential: (content: Buffer | string) => Promise<void>
  readonly pathOf: (camera: string) => string
}

async function bench(): Promise<Bench> {
  const root = await tempFolder()
  const identityFolder = join(root.path, 'identity')
  const credentialsFolder = join(root.path, 'credentials')
  for (const path of [identityFolder, credentialsFolder]) await mkdir(path)
  const folder = join(root.path, 'cameras')
  const log = new RecordingLog()
  return {
    folder,
    keyFile: join(identityFolder, 'sealing-key'),
    log,
    start: ({ thingName = 'dock-1_Thing' } = {}) =>
      new SealedCameras({ folder, thingName, keySources: { credentialsFolder, identityFolder }, log }),
    giveCredential: async (content) => {
      await writeFile(join(credentialsFolder, credentialName), content)
    },
    pathOf: (camera) => join(folder, `${camera}.sealed`),
    [Symbol.asyncDispose]: () => root[Symbol.asyncDispose](),
  }
}

test('gives back after a restart what was written last, from files for the own user alone', async () => {
  await using at = await bench()
  const copies = at.start()
  expect(await copies.read('dock-3')).toBeUndefined()
  await copies.write('dock-3', first)
  await copies.write('dock-3', second)
  expect(await at.start().read('dock-3')).toEqual(second)
  expect((await stat(at.folder)).mode & 0o7777).toBe(0o700)
  expect((await stat(at.pathOf('dock-3'))).mode & 0o7777).toBe(0o600)
  expect(await readdir(at.folder)).toEqual(['dock-3.sealed'])
  expect(await readFile(at.pathOf('dock-3'), 'utf8')).not.toContain('marked')
  expect(copies.status()).toEqual({ key: 'file' })
  expect(at.log.messages('warn')).toEqual([])
})

test('removes the copies of cameras that are gone, and nothing else', async () => {
  await using at = await bench()
  const copies = at.start()
  for (const name of ['kept', 'gone', 'refusals']) await copies.write(name, first)
  for (const name of ['refusals.json', '.0a1b2c3d4e5f.tmp']) await writeFile(join(at.folder, name), '{}')
  await copies.keep(['kept'])
  expect((await readdir(at.folder)).sort()).toEqual(['.0a1b2c3d4e5f.tmp', 'kept.sealed', 'refusals.json'])
  await copies.prepare()
  expect((await readdir(at.folder)).sort()).toEqual(['kept.sealed', 'refusals.json'])
  expect(await at.start().read('kept')).toEqual(first)
})

describe('a copy that cannot be opened', () => {
  test.each<[string, RegExp, (at: Bench) => Promise<void>]>([
    ['is damaged', /dock-3 is damaged$/, (at) => writeFile(at.pathOf('dock-3'), 'nothing of ours')],
    ['is of another camera', /dock-3 belongs to another camera, "dock-4"$/, swapFiles],
    ['is sealed with another key', /dock-3 is sealed with another key/, (at) => rm(at.keyFile)],
    ['is a link', /dock-3 cannot be read/, replaceByLink],
    ['is a folder', /dock-3 cannot be read.* is no sealed copy$/, replaceByFolder],
    ['is a FIFO that nobody writes to', /dock-3 cannot be read.* is no sealed copy$/, replaceByFifo],
    ['is larger than any', /is no sealed copy$/, (at) => writeFile(at.pathOf('dock-3'), Buffer.alloc(1_048_577))],
  ])('because it %s is reported once by name, and stays', async (_, fault, spoil) => {
    await using at = await bench()
    for (const name of ['dock-3', 'dock-4', 'dock-5']) await at.start().write(name, first)
    await spoil(at)
    at.log.entries.length = 0
    const copies = at.start()
    expect(await copies.read('dock-3')).toBeUndefined()
    expect(await copies.read('dock-3')).toBeUndefined()
    expect(copies.status()).toMatchObject({ key: 'file', fault: expect.stringMatching(fault) as string })
    expect(copies.status().hint).toMatch(/sealed anew/)
    expect(at.log.entries.filter(({ level }) => level === 'warn')).toMatchObject([
      { message: 'the sealed copy of a camera is at fault', fields: { camera: 'dock-3' } },
    ])
    expect(await readdir(at.folder)).toContain('dock-3.sealed')
  })

  test('of another thing is reported, also when the whole state folder was copied', async () => {
    await using at = await bench()
    await at.start().write('dock-3', first)
    const copies = at.start({ thingName: 'dock-2_Thing' })
    expect(await copies.read('dock-3')).toBeUndefined()
    expect(copies.status().fault).toMatch(/dock-3 belongs to another thing, "dock-1_Thing"$/)
  })

  test('is replaced by the next one, and the fault is over', async () => {
    await using at = await bench()
    await at.start().write('dock-3', first)
    await writeFile(at.pathOf('dock-3'), 'nothing of ours')
    const copies = at.start()
    await copies.read('dock-3')
    await copies.write('dock-3', second)
    expect(copies.status()).toEqual({ key: 'file' })
    expect(await copies.read('dock-3')).toEqual(second)
    expect(at.log.messages('info')).toContain('the sealed copy of a camera is well again')
  })

  test('is counted beside the first, and forgotten with its camera', async () => {
    await using at = await bench()
    const names = ['dock-3', 'dock-4', 'dock-5']
    await mkdir(at.folder)
    for (const name of names) await writeFile(at.pathOf(name), '')
    const copies = at.start()
    for (const name of names) await copies.read(name)
    expect(copies.status().fault).toMatch(/dock-3 is damaged; and 2 more$/)
    await copies.keep(['dock-5'])
    expect(copies.status().fault).toMatch(/dock-5 is damaged$/)
    await copies.keep([])
    expect(copies.status()).toEqual({ key: 'file' })
  })
})

test('goes on without a key, says what is wrong, and touches no copy', async () => {
  await using at = await bench()
  await at.start().write('dock-3', first)
  const before = await readFile(at.pathOf('dock-3'))
  const key = await readFile(at.keyFile)
  await writeFile(at.keyFile, key.subarray(0, 20))
  const copies = at.start()
  expect(await copies.read('dock-3')).toBeUndefined()
  await copies.write('dock-3', second)
  await copies.renew('dock-3', second)
  expect(copies.status()).toMatchObject({
    key: 'none',
    fault: expect.stringMatching(/sealing-key is no key of 32 bytes: 20 bytes$/) as string,
    hint: expect.stringContaining('backup') as string,
  })
  expect(at.log.messages('warn')).toEqual(['camera credentials are not kept for a reboot without network'])
  expect(await readFile(at.pathOf('dock-3'))).toEqual(before)
  expect(await readFile(at.keyFile)).toHaveLength(20)
  await writeFile(at.keyFile, key)
  expect(await at.start().read('dock-3')).toEqual(first)
})

test('reports a copy that cannot be written, and that it can again', async () => {
  await using at = await bench()
  const copies = at.start()
  await writeFile(at.folder, 'in the way')
  await copies.write('dock-3', first)
  expect(copies.status()).toMatchObject({ key: 'file', fault: expect.stringContaining('EEXIST') as string })
  await rm(at.folder)
  await copies.write('dock-3', first)
  expect(copies.status()).toEqual({ key: 'file' })
  expect(await copies.read('dock-3')).toEqual(first)
})

describe("when the operator gives a credential of systemd's later", () => {
  test('copies under the file are read still, and renewed under the credential, after which the file may go', async () => {
    await using at = await bench()
    for (const name of ['dock-3', 'dock-4']) await at.start().write(name, first)
    await at.giveCredential(randomBytes(32))
    const copies = at.start()
    expect(await copies.read('dock-3')).toEqual(first)
    expect(copies.status()).toEqual({ key: 'systemd-credential' })
    const untouched = await readFile(at.pathOf('dock-4'))
    await copies.renew('dock-3', first)
    await rm(at.keyFile)
    expect(await at.start().read('dock-3')).toEqual(first)
    const later = at.start()
    expect(await later.read('dock-4')).toBeUndefined()
    expect(later.status().fault).toMatch(/dock-4 is sealed with another key/)
    expect(await readFile(at.pathOf('dock-4'))).toEqual(untouched)
  })

  test('that is no key, copies under the file are read still, and none is written', async () => {
    await using at = await bench()
    await at.start().write('dock-3', first)
    await at.giveCredential('no key')
    const copies = at.start()
    expect(await copies.read('dock-3')).toEqual(first)
    await copies.write('dock-3', second)
    expect(await copies.read('dock-3')).toEqual(first)
    expect(copies.status()).toMatchObject({ key: 'none', fault: expect.stringContaining('no key: 6 bytes') as string })
  })
})

test('renews a copy only where it is another one, or not there', async () => {
  await using at = await bench()
  const copies = at.start()
  await copies.renew('dock-3', first)
  const { ino } = await stat(at.pathOf('dock-3'))
  await copies.renew('dock-3', first)
  expect((await stat(at.pathOf('dock-3'))).ino).toBe(ino)
  await copies.renew('dock-3', second)
  expect(await copies.read('dock-3')).toEqual(second)
  await writeFile(at.pathOf('dock-3'), 'nothing of ours')
  await copies.renew('dock-3', second)
  expect(await copies.read('dock-3')).toEqual(second)
})

test('makes one key when it is first asked by many at once', async () => {
  await using at = await bench()
  const copies = at.start()
  const names = Array.from({ length: 20 }, (_, index) => `dock-${index}`)
  await Promise.all(
    names.map(async (name) => {
      await copies.write(name, first)
    }),
  )
  const later = at.start()
  for (const name of names) expect(await later.read(name)).toEqual(first)
})

async function swapFiles({ pathOf }: Bench): Promise<void> {
  await copyFile(pathOf('dock-4'), pathOf('dock-3'))
}

async function replaceByLink({ pathOf }: Bench): Promise<void> {
  await rename(pathOf('dock-3'), `${pathOf('dock-3')}.moved`)
  await symlink(`${pathOf('dock-3')}.moved`, pathOf('dock-3'))
}

async function replaceByFolder({ pathOf }: Bench): Promise<void> {
  await rm(pathOf('dock-3'))
  await mkdir(pathOf('dock-3'))
}

async function replaceByFifo({ pathOf }: Bench): Promise<void> {
  await rm(pathOf('dock-3'))
  await runCommand('mkfifo', [pathOf('dock-3')])
}
