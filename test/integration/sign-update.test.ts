import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { describe, expect, test } from 'vitest'

import { readPublisherKey } from '../../agent/publishing/manifest-signature.ts'
import { signUpdate } from '../../agent/publishing/update-signature.ts'
import { runCommand } from '../support/run-command.ts'
import { tempFolder, type TempFolder } from '../support/temp-folder.ts'

interface Made extends AsyncDisposable {
  readonly deb: string
  readonly key: string
  readonly publicKey: string
}

async function made(kind: 'ed25519' | 'ec'): Promise<Made> {
  const folder: TempFolder = await tempFolder()
  const at = (name: string): string => join(folder.path, name)
  const { privateKey, publicKey } =
    kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  await writeFile(at('update.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
  await writeFile(at('public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const deb = at('panorama-agent_0.2.0_amd64.deb')
  await writeFile(deb, 'a package')
  return {
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
