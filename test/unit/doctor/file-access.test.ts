import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { fileOutcomes, serviceAccess, type FileNeed } from '../../../agent/doctor/file-access.ts'
import { sandboxOf } from '../../../agent/doctor/service-sandbox.ts'
import { tempFolder, type TempFolder } from '../../support/temp-folder.ts'

const isRoot = process.getuid?.() === 0
/** Root may do everything, so that nothing could be asked about it. */
const own = isRoot ? { uid: 65_534, gid: 65_534 } : { uid: process.getuid?.() ?? 1, gid: process.getgid?.() ?? 1 }
const others = { name: 'agent', uid: own.uid + 1, gids: [own.gid + 1] }
const owner = { name: 'agent', uid: own.uid, gids: [own.gid] }

/** A folder that everybody may pass. */
async function open(): Promise<TempFolder> {
  const folder = await tempFolder()
  await chmod(folder.path, 0o755)
  await giveAway(folder.path)
  return folder
}

async function giveAway(path: string): Promise<void> {
  if (isRoot) await chown(path, own.uid, own.gid)
}

test('tells by owner, groups and mode whether a user may read a file', async () => {
  await using folder = await open()
  const path = join(folder.path, 'key')
  await writeFile(path, 'x')
  await giveAway(path)
  const accessWith = async (mode: number, user: typeof others): Promise<string> => {
    await chmod(path, mode)
    return (await serviceAccess(path, user)).access
  }
  expect(await accessWith(0o600, others)).toBe('denied')
  expect(await accessWith(0o604, others)).toBe('allowed')
  expect(await accessWith(0o640, { ...others, gids: [own.gid] })).toBe('allowed')
  expect(await accessWith(0o604, { ...others, gids: [own.gid] })).toBe('denied')
  expect(await accessWith(0o000, { ...others, uid: 0 })).toBe('allowed')
  expect((await serviceAccess(join(folder.path, 'absent'), others)).access).toBe('absent')
  expect(fileOutcomes([{ path, user: 'agent', need: 'read', access: 'absent' }])).toEqual([])
})

test('looks at the folders on the way, also where a link leads', async () => {
  await using folder = await open()
  const closed = join(folder.path, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await giveAway(closed)
  await writeFile(join(closed, 'key'), 'x', { mode: 0o644 })
  await symlink(join(closed, 'key'), join(folder.path, 'link'))
  for (const path of [join(closed, 'key'), join(folder.path, 'link')]) {
    const [outcome] = fileOutcomes([await serviceAccess(path, others)])
    expect(outcome).toMatchObject({
      text: `${path} cannot be read by agent, which the agent runs as: it may not pass ${closed} (mode 0700 of user ${own.uid})`,
      hint: expect.stringContaining(`chmod o+x ${closed}`) as string,
    })
  }
})

test('names the folder that keeps several files from it once', async () => {
  await using folder = await open()
  const closed = join(folder.path, 'closed')
  await mkdir(closed, { mode: 0o700 })
  await giveAway(closed)
  const files = ['certificate.pem', 'private.key'].map((name) => serviceAccess(join(closed, name), others))
  expect(fileOutcomes(await Promise.all(files))).toMatchObject([
    { text: expect.stringContaining('certificate.pem cannot be read') as string },
  ])
})

test.for<[string, FileNeed, typeof others, string, RegExp]>([
  ['made', 'write', owner, 'allowed', /^$/],
  ['made', 'write', others, 'denied', /^$/],
  ['absent/state', 'write', owner, 'allowed', /^$/],
  ['absent/state', 'write', others, 'denied', /is not there, and cannot be made in/],
  ['file', 'write', owner, 'denied', /file is no folder/],
  ['file/state', 'write', owner, 'denied', /file is no folder/],
  ['file/state', 'read', owner, 'denied', /file is no folder/],
])('says of %s to %s: %o', async ([name, need, user, access, why]) => {
  await using folder = await open()
  await mkdir(join(folder.path, 'made'), { mode: 0o755 })
  await writeFile(join(folder.path, 'file'), '')
  await giveAway(join(folder.path, 'made'))
  const found = await serviceAccess(join(folder.path, name), user, need)
  expect(found.access).toBe(access)
  expect(found.why ?? '').toMatch(why)
})

test('counts what the sandbox of the unit hides, or keeps from being written, as denied', async () => {
  const settings = {
    unitFileState: '',
    group: '',
    protectHome: 'yes',
    protectSystem: 'strict',
    privateTmp: 'yes',
    readWritePaths: '-/etc/panorama-agent/claim /data',
    stateDirectory: 'panorama-agent',
    runtimeDirectory: 'panorama-agent',
  }
  const user = { name: 'agent', uid: 0, gids: [], sandbox: sandboxOf({ settings }) }
  const whyOf = async (path: string, need: FileNeed): Promise<string> =>
    (await serviceAccess(path, user, need)).why ?? ''
  expect(await whyOf('/home/me/root-ca.pem', 'read')).toContain('ProtectHome=')
  expect(await whyOf('/tmp/key', 'read')).toContain('PrivateTmp=')
  expect(await whyOf('/homes/root-ca.pem', 'read')).toBe('')
  expect(await whyOf('/data2/state', 'write')).toContain('ProtectSystem=strict')
  expect(await whyOf('/data/state', 'write')).toBe('')
  expect(await whyOf('/etc/panorama-agent/claim', 'write')).toBe('')
  expect(await whyOf('/var/lib/panorama-agent', 'write')).toBe('')
  expect(await whyOf('/data2/state', 'read')).toBe('')
  expect((await serviceAccess('/data2/state', user, 'write')).hint).toContain('ReadWritePaths=/data2/state')
})
