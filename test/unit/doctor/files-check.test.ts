import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import type { Outcome } from '../../../agent/doctor/doctor-check.ts'
import { filesCheck, type NeededFile } from '../../../agent/doctor/files-check.ts'
import { updateKeysCheck } from '../../../agent/doctor/update-keys-check.ts'
import { AgentError } from '../../../agent/lib/errors.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const signal = new AbortController().signal
const uid = process.getuid?.() ?? 0
const gid = process.getgid?.() ?? 0
const other = { name: 'agent', uid: uid + 1, gids: [] }

async function look(files: readonly NeededFile[], user: typeof other | undefined = other): Promise<readonly Outcome[]> {
  return await filesCheck({ files: () => Promise.resolve(files), user: () => Promise.resolve(user) }).run(signal)
}

test('names each file that the agent cannot use, by where the configuration names it', async () => {
  await using folder = await tempFolder()
  await chmod(folder.path, 0o755)
  const path = join(folder.path, 'password')
  await writeFile(path, 'x', { mode: 0o600 })
  const file = { field: 'network.proxy.passwordFile', path, need: 'read', isRequired: true } as const
  expect(await look([file])).toMatchObject([
    { level: 'fail', about: file.field, text: `${path} cannot be read by agent, which the agent runs as` },
  ])
  const absent = { ...file, path: join(folder.path, 'absent') }
  expect(await look([absent])).toMatchObject([
    { level: 'fail', text: `${absent.path} is not there, which ${file.field} names` },
  ])
  expect(await look([{ ...absent, isRequired: false }])).toMatchObject([{ level: 'pass' }])
  await chmod(path, 0o644)
  const verify = (): Promise<never> => Promise.reject(new AgentError('it is empty', { hint: 'fill it' }))
  expect(await look([{ ...file, verify }])).toEqual([
    { level: 'fail', text: 'it is empty', hint: 'fill it', about: file.field },
  ])
  expect(await look([file])).toMatchObject([{ level: 'pass' }])
})

test('names twenty of them at most, and looks at nothing where nobody knows whom the agent runs as', async () => {
  const many = Array.from({ length: 30 }, (_, index) => ({
    field: `f${index}`,
    path: '/nonexistent/x',
    need: 'read' as const,
    isRequired: true,
  }))
  const outcomes = await look(many)
  expect(outcomes).toHaveLength(21)
  expect(outcomes.at(-1)?.text).toBe('so are 10 more files')
  const check = filesCheck({ files: () => Promise.resolve(many), user: () => Promise.resolve(undefined) })
  expect(await check.run(signal)).toMatchObject([{ level: 'skip' }])
})

const publicKey = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`

test('believes update keys as root does: nobody else may write them, and each is a public key', async () => {
  await using temporary = await tempFolder()
  const folder = join(temporary.path, 'update-keys')
  const levels = async (): Promise<readonly string[]> =>
    (await updateKeysCheck({ folder, owner: { uid, gid } }).run(signal)).map(({ level }) => level)
  expect(await levels()).toEqual(['skip'])
  await mkdir(folder)
  const key = join(folder, 'update.pem')
  await writeFile(key, publicKey)
  expect(await levels()).toEqual(['pass'])
  await chmod(key, 0o666)
  expect(await levels()).toEqual(['fail'])
  await chmod(key, 0o644)
  await chmod(folder, 0o777)
  expect(await levels()).toEqual(['fail'])
  await chmod(folder, 0o755)
  await writeFile(key, 'no key')
  expect(await levels()).toEqual(['fail'])
  expect(await updateKeysCheck({ folder, owner: { uid: uid + 1, gid } }).run(signal)).toHaveLength(3)
  await writeFile(key, publicKey)
  expect(await updateKeysCheck({ folder, owner: { uid, gid: gid + 1 } }).run(signal)).toMatchObject([
    { level: 'fail', text: expect.stringContaining(key) as string },
  ])
})
