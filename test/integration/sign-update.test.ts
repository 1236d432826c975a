import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { copyFile, readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'

import { describe, expect, test, vi } from 'vitest'

import { signUpdates } from '../../agent/commands/sign-update.ts'
import { readPublisherKey } from '../../agent/publishing/manifest-signature.ts'
import { signUpdate } from '../../agent/publishing/update-signature.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'
import { updateBenches } from '../support/update-bench.ts'

interface Made extends AsyncDisposable {
  readonly folder: string
  readonly deb: string
  readonly key: string
  readonly publicKey: string
}

async function made(kind: 'ed25519' | 'ec', version = '0.2.0'): Promise<Made> {
  const folder: TempFolder = await tempFolder()
  const at = (name: string): string => join(folder.path, name)
  const { privateKey, publicKey } =
    kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(at('update.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await writeFile(at('public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const deb = await updateBenches(folder.path).debOf({ version, arch: 'amd64' })
  return {
    folder: folder.path,
    deb,
    key: at('update.pem'),
    publicKey: at('public.pem'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

describe.each(['ed25519', 'ec'] as const)('a package that is signed with a key of %s', (kind) => {
  test('has a signature of its bytes beside it, that openssl takes', async () => {
    await using files = await made(kind)
    const signature = await signUpdate(files.deb, await readPublisherKey(files.key))
    expect(signature).toBe(`${files.deb}.sig`)
    expect((await stat(signature)).mode & 0o777).toBe(0o644)
    const key = createPublicKey(await readFile(files.publicKey))
    const bytes = await readFile(signature)
    expect(verify(kind === 'ed25519' ? null : 'sha256', await readFile(files.deb), key, bytes)).toBe(true)
    const args =
      kind === 'ed25519'
        ? ['pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', files.publicKey, '-in', files.deb, '-sigfile', signature]
        : ['dgst', '-sha256', '-verify', files.publicKey, '-signature', signature, files.deb]
    const { stdout } = await runCommand('openssl', args)
    expect(stdout).toMatch(/Verified OK|Signature Verified Successfully/)
  })
})

test('refuses a file that appliances would not look for', async () => {
  await using files = await made('ed25519')
  const key = await readPublisherKey(files.key)
  await expect(signUpdate(files.key, key)).rejects.toThrow('has not the name')
  await expect(signUpdate('/nowhere/panorama-agent_0.2.0_amd64.deb', key)).rejects.toThrow('cannot be read (ENOENT)')
})

test('takes a release candidate', async () => {
  await using files = await made('ed25519', '0.2.0~rc.1+b2')
  await expect(signUpdate(files.deb, await readPublisherKey(files.key))).resolves.toBe(`${files.deb}.sig`)
})

test.each([
  { what: 'that is empty', bytes: 0, says: /is no whole Debian package: .*(end of file|not a Debian)/ },
  { what: 'that is cut off at its end', bytes: -60, says: /is no whole Debian package: \S/ },
])('refuses a file $what', async ({ bytes, says }) => {
  await using files = await made('ed25519')
  await truncate(files.deb, bytes < 0 ? (await stat(files.deb)).size + bytes : bytes)
  await expect(signUpdate(files.deb, await readPublisherKey(files.key))).rejects.toThrow(says)
  expect(await readdir(files.folder)).not.toContain('panorama-agent_0.2.0_amd64.deb.sig')
})

test.each([
  { file: 'panorama-agent_0.9.0_amd64.deb', says: 'holds Version 0.2.0, and its name says 0.9.0' },
  { file: 'panorama-agent_0.2.0_arm64.deb', says: 'holds Architecture amd64, and its name says arm64' },
])('refuses another package that is named $file', async ({ file, says }) => {
  await using files = await made('ed25519')
  const named = join(files.folder, file)
  await copyFile(files.deb, named)
  await expect(signUpdate(named, await readPublisherKey(files.key))).rejects.toThrow(says)
})

test('refuses a package of another program', async () => {
  await using files = await made('ed25519')
  const other = await updateBenches(files.folder).debOf({ name: 'hello', version: '0.2.0', arch: 'amd64' })
  await copyFile(other, files.deb)
  const signing = signUpdate(files.deb, await readPublisherKey(files.key))
  await expect(signing).rejects.toThrow('holds Package hello, and its name says panorama-agent')
})

test('says where to sign when there is nothing to look into packages with', async () => {
  await using files = await made('ed25519')
  vi.stubEnv('PATH', files.folder)
  const signing = signUpdate(files.deb, await readPublisherKey(files.key)).finally(() => vi.unstubAllEnvs())
  await expect(signing).rejects.toMatchObject({
    message: expect.stringContaining('there is no dpkg-deb here') as string,
    hint: expect.stringContaining('apt-get install dpkg') as string,
  })
})

test('says how to make a key by the name that it has in the README', async () => {
  const reading = signUpdates({ files: [], key: '/nowhere/update.pem' }, { stdout: new PassThrough() })
  await expect(reading).rejects.toMatchObject({ hint: expect.stringContaining('-out update.pem') as string })
})
