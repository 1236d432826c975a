import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import {
  credentialName,
  loadSealingKeys,
  parseSealingKey,
  type KeySources,
} from '../../../agent/cameras/sealing-key.ts'
import { tempFolder } from '../../support/temp-folder.ts'

async function places(path: string): Promise<Required<KeySources> & { keyFile: string; credential: string }> {
  const credentialsFolder = join(path, 'credentials')
  const identityFolder = join(path, 'identity')
  for (const folder of [credentialsFolder, identityFolder]) await mkdir(folder)
  const keyFile = join(identityFolder, 'sealing-key')
  return { credentialsFolder, identityFolder, keyFile, credential: join(credentialsFolder, credentialName) }
}

describe('a sealing key', () => {
  const secret = randomBytes(32)

  test.each([
    ['raw', secret],
    ['hex', Buffer.from(`${secret.toString('hex')}\n`)],
    ['hex in capitals', Buffer.from(secret.toString('hex').toUpperCase())],
    ['base64', Buffer.from(`${secret.toString('base64')}\n`)],
    ['base64url', Buffer.from(secret.toString('base64url'))],
  ])('is the same in each way to write it: %s', (_, content) => {
    expect(parseSealingKey(content)).toEqual(parseSealingKey(secret))
  })

  test('is neither the secret itself nor told by its id', () => {
    const { id, key } = parseSealingKey(secret) ?? {}
    expect(key).toHaveLength(32)
    expect(key?.equals(secret)).toBe(false)
    expect(id).toMatch(/^[0-9a-f]{16}$/)
    expect(secret.toString('hex')).not.toContain(id)
    expect(parseSealingKey(randomBytes(32))?.id).not.toBe(id)
  })

  test.each([
    ['nothing', ''],
    ['31 bytes', 'x'.repeat(31)],
    ['33 bytes', 'x'.repeat(33)],
    ['hex of 31 bytes', 'ab'.repeat(31)],
    ['other text', '-'.repeat(80)],
  ])('is not made of %s', (_, text) => {
    expect(parseSealingKey(Buffer.from(text))).toBeUndefined()
  })
})

describe('the file of the key', () => {
  test('is made at first, for the own user alone, and then stays', async () => {
    await using folder = await tempFolder()
    const { identityFolder, keyFile } = await places(folder.path)
    const made = await loadSealingKeys({ identityFolder })
    expect(made).toMatchObject({ source: 'file', fault: undefined })
    expect(await readFile(keyFile)).toHaveLength(32)
    expect((await stat(keyFile)).mode & 0o7777).toBe(0o600)
    expect(await readdir(identityFolder)).toEqual(['sealing-key'])
    expect(await loadSealingKeys({ identityFolder })).toEqual(made)
  })

  test('is taken back from others who may read it', async () => {
    await using folder = await tempFolder()
    const { identityFolder, keyFile } = await places(folder.path)
    await writeFile(keyFile, randomBytes(32))
    await chmod(keyFile, 0o644)
    expect(await loadSealingKeys({ identityFolder })).toMatchObject({ source: 'file' })
    expect((await stat(keyFile)).mode & 0o7777).toBe(0o600)
  })

  test.each([0, 31, 33, 4096])('with %i bytes is a fault with a hint, and stays as it is', async (size) => {
    await using folder = await tempFolder()
    const { identityFolder, keyFile } = await places(folder.path)
    const content = Buffer.alloc(size, '!')
    await writeFile(keyFile, content)
    const { source, current, fault } = await loadSealingKeys({ identityFolder })
    expect({ source, current }).toEqual({ source: 'none', current: undefined })
    expect(fault?.message).toMatch(new RegExp(`sealing-key is no key of 32 bytes: ${size} bytes`))
    expect(fault?.hint).toMatch(/backup/)
    expect(await readFile(keyFile)).toEqual(content)
  })

  test('that a link leads to, and is not there, is a fault, and no other is made', async () => {
    await using folder = await tempFolder()
    const { identityFolder, keyFile } = await places(folder.path)
    await symlink('/nowhere/sealing-key', keyFile)
    const { source, fault } = await loadSealingKeys({ identityFolder })
    expect(source).toBe('none')
    expect(fault).toMatchObject({ message: expect.stringContaining('cannot be read') as string, retryable: true })
    expect(await readdir(identityFolder)).toEqual(['sealing-key'])
  })

  test('that is a folder is a fault', async () => {
    await using folder = await tempFolder()
    const { identityFolder, keyFile } = await places(folder.path)
    await mkdir(keyFile)
    expect((await loadSealingKeys({ identityFolder })).fault?.message).toContain('it is no file')
  })

  test('that cannot be made is a fault', async () => {
    await using folder = await tempFolder()
    const { source, fault } = await loadSealingKeys({ identityFolder: join(folder.path, 'missing') })
    expect(source).toBe('none')
    expect(fault).toMatchObject({ message: expect.stringContaining('cannot be written (ENOENT)') as string })
  })
})

describe("systemd's credential", () => {
  test('is the key where there is one, and no file is made', async () => {
    await using folder = await tempFolder()
    const { credential, ...sources } = await places(folder.path)
    const secret = randomBytes(32)
    await writeFile(credential, secret)
    expect(await loadSealingKeys(sources)).toEqual({
      source: 'systemd-credential',
      current: parseSealingKey(secret),
      known: [parseSealingKey(secret)],
      fault: undefined,
    })
    expect(await readdir(sources.identityFolder)).toEqual([])
  })

  test('comes before the file, which then opens what was sealed before', async () => {
    await using folder = await tempFolder()
    const { credential, ...sources } = await places(folder.path)
    const { current: old } = await loadSealingKeys(sources)
    expect(old).toBeDefined()
    await writeFile(credential, randomBytes(32))
    const { source, current, known } = await loadSealingKeys(sources)
    expect(source).toBe('systemd-credential')
    expect(known).toEqual([current, old])
    expect(current).not.toEqual(old)
  })

  test('that could not be unsealed is a fault that says so', async () => {
    await using folder = await tempFolder()
    const { credential, ...sources } = await places(folder.path)
    await writeFile(credential, 'cannot be unsealed\n')
    const { source, fault } = await loadSealingKeys(sources)
    expect(source).toBe('none')
    expect(fault?.message).toMatch(/cannot be unsealed on this machine$/)
    expect(fault?.hint).toMatch(/panorama-agent-unseal/)
    expect(await readdir(sources.identityFolder)).toEqual([])
  })

  test('that is no key is a fault that the file does not stand in for; it still opens', async () => {
    await using folder = await tempFolder()
    const { credential, ...sources } = await places(folder.path)
    const { current: old } = await loadSealingKeys(sources)
    await writeFile(credential, 'too short')
    const { source, current, known, fault } = await loadSealingKeys(sources)
    expect({ source, current, known }).toEqual({ source: 'none', current: undefined, known: [old] })
    expect(fault?.message).toBe('the systemd credential panorama-agent.sealing-key is no key: 9 bytes')
    expect(fault?.hint).toMatch(/systemd-creds encrypt/)
  })
})
