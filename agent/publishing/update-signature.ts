import { sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import { writeFileAtomic } from '../lib/atomic-file.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import type { PublisherKey } from './manifest-signature.ts'
import { checkUpdatePackage } from './update-package.ts'

/**
 * Writes `FILE.sig` beside a package of the agent: Ed25519 as 64 bytes, ECDSA over SHA-256 in DER, as openssl does. Answers its
 * path. Throws an AgentError when the file cannot be read, and when it is no whole package that its name tells of.
 */
export async function signUpdate(file: string, { privateKey }: PublisherKey): Promise<string> {
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new AgentError(`${file} cannot be read (${errorCode(error) ?? 'unknown error'})`)
  })
  await checkUpdatePackage(file)
  const signature = sign(privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, privateKey)
  await writeFileAtomic(`${file}.sig`, signature, { mode: 0o644 })
  return `${file}.sig`
}
