import { sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { basename } from 'node:path'

import { writeFileAtomic } from '../lib/atomic-file.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import type { PublisherKey } from './manifest-signature.ts'

/**
 * Writes `FILE.sig` beside a package of the agent: Ed25519 as 64 bytes, ECDSA over SHA-256 in DER, as openssl does. Answers its
 * path. Throws an AgentError when the file cannot be read, or has not the name that appliances look for.
 */
export async function signUpdate(file: string, { privateKey }: PublisherKey): Promise<string> {
  if (!/^panorama-agent_[A-Za-z0-9.:-]{1,64}_[a-z0-9]+\.deb$/.test(basename(file))) {
    throw new AgentError(`${file} has not the name that appliances look for`, {
      hint: 'it must be panorama-agent_VERSION_ARCHITECTURE.deb, as scripts/package names it',
    })
  }
  const bytes = await readFile(file).catch((error: unknown) => {
    throw new AgentError(`${file} cannot be read (${errorCode(error) ?? 'unknown error'})`)
  })
  const signature = sign(privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256', bytes, privateKey)
  await writeFileAtomic(`${file}.sig`, signature, { mode: 0o644 })
  return `${file}.sig`
}
