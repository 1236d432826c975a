import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { RunProgram } from '../../../agent/doctor/run-program.ts'
import { readUnit } from '../../../agent/doctor/service-unit.ts'
import { serviceUser } from '../../../agent/doctor/service-user.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const signal = new AbortController().signal
const files = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\npanorama-agent:x:101:102::/:/usr/sbin/nologin\n',
  group: 'root:x:0:\nvideo:x:44:\nlogs:x:45:someone,panorama-agent\nown:x:102:\nother:x:77:\n',
}
const readFiles = () => Promise.resolve(files)
const readNobody = () => Promise.resolve({ passwd: '', group: '' })
const nothing: RunProgram = () => Promise.resolve({ exitCode: 2, errorCode: undefined, stdout: '', stderr: '' })

async function ofUnit(lines: readonly string[], run = nothing) {
  const stdout = ['LoadState=loaded', ...lines].join('\n')
  const systemctl: RunProgram = () => Promise.resolve({ exitCode: 0, errorCode: undefined, stdout, stderr: '' })
  const unit = await readUnit('panorama-agent.service', systemctl, signal)
  return await serviceUser({ unit, stateFolder: '/nonexistent', run, readFiles }, signal)
}

test('takes user and groups from the unit, and from passwd and group', async () => {
  const user = await ofUnit(['User=panorama-agent', 'SupplementaryGroups=video absent', 'ProtectHome=yes'])
  expect(user).toMatchObject({ name: 'panorama-agent', uid: 101, sandbox: { writable: undefined } })
  expect(user?.gids).toEqual([102, 45, 44])
  expect(user?.sandbox?.hidden.map(({ folder }) => folder)).toContain('/home')
  expect((await ofUnit(['User=panorama-agent', 'Group=other']))?.gids).toEqual([77, 45])
  expect(await ofUnit([])).toMatchObject({ name: 'root', uid: 0 })
})

test('asks the name service for a user that is not in passwd, and fails where there is none: the unit cannot start', async () => {
  const stdout = 'fleet:x:5000:5001::/:/bin/false\n'
  const getent: RunProgram = () => Promise.resolve({ exitCode: 0, errorCode: undefined, stdout, stderr: '' })
  expect(await ofUnit(['User=fleet'], getent)).toMatchObject({ name: 'fleet', uid: 5000, gids: [5001] })
  await expect(ofUnit(['User=fleet'])).rejects.toMatchObject({
    message: 'there is no user fleet, which panorama-agent.service runs as: it cannot start',
    hint: expect.stringContaining('systemd-sysusers') as string,
  })
})

test('takes the owner of the state folder where there is no unit, or else the user of the package', async () => {
  await using folder = await tempFolder()
  const uid = process.getuid?.()
  const of = async (stateFolder: string) =>
    await serviceUser({ unit: undefined, stateFolder, run: nothing, readFiles }, signal)
  expect(await of(folder.path)).toMatchObject({ uid, name: uid === 0 ? 'root' : `user ${uid}` })
  const absent = join(folder.path, 'absent')
  expect(await of(absent)).toMatchObject({ name: 'panorama-agent', uid: 101, gids: [102, 45] })
  const without = { unit: undefined, stateFolder: absent, run: nothing, readFiles: readNobody }
  expect(await serviceUser(without, signal)).toBeUndefined()
})
