import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { findGroup, systemGroups } from '../../../agent/cameras/camera-groups.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const groupFile = 'root:x:0:\nvideo:x:44:alice,bob\nvideo2:x:45:\n# note\nodd:x:-1:\nbroken\n:x:7:\nbig:x:4294967294:\n'

test.each([
  ['video', 44],
  ['video2', 45],
  ['root', 0],
  ['big', 4_294_967_294],
])('finds the id of %s', (name, id) => {
  expect(findGroup(groupFile, name)).toBe(id)
})

test.each(['vid', 'video3', 'alice', 'x', '44', 'odd', 'broken', '# note', 'VIDEO'])(
  'finds no group named %j',
  (name) => {
    expect(findGroup(groupFile, name)).toBeUndefined()
  },
)

test('gives the id of a group that the agent is in', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'group')
  await writeFile(path, groupFile)
  const groups = systemGroups({ groupFile: path, ownIds: () => [1000, 44] })
  expect(await groups.idOf('video')).toBe(44)
})

test('says how to join a group that the agent is not in', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'group')
  await writeFile(path, groupFile)
  const groups = systemGroups({ groupFile: path, ownIds: () => [1000] })
  await expect(groups.idOf('video')).rejects.toMatchObject({
    retryable: false,
    message: 'the agent is not in the group video, so it cannot give it a file',
    hint: expect.stringMatching(
      /"SupplementaryGroups=video" into \/etc\/systemd\/system\/panorama-agent\.service\.d\/groups\.conf/,
    ) as unknown,
  })
})

test('says to make a group that the system does not know, before joining it', async () => {
  await using folder = await tempFolder()
  const path = join(folder.path, 'group')
  await writeFile(path, groupFile)
  await expect(systemGroups({ groupFile: path }).idOf('viewers')).rejects.toMatchObject({
    retryable: false,
    message: `the group viewers is not in ${path}`,
    hint: expect.stringMatching(/groupadd --system viewers.*SupplementaryGroups=viewers/) as unknown,
  })
})

test('fails when the groups cannot be read', async () => {
  await using folder = await tempFolder()
  const groups = systemGroups({ groupFile: join(folder.path, 'missing') })
  await expect(groups.idOf('video')).rejects.toThrow('ENOENT')
})

test('knows the groups of its own process', async () => {
  const [id = '', name = ''] = [execFileSync('id', ['-g']), execFileSync('id', ['-gn'])].map((out) => out.toString().trim()) // prettier-ignore
  expect(await systemGroups().idOf(name)).toBe(Number(id))
})
