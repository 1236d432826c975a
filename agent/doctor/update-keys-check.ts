import { createPublicKey } from 'node:crypto'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { errorCode } from '../lib/errors.ts'
import { fail, pass, skip, UnseenError, type Check, type Outcome } from './doctor-check.ts'

export interface UpdateKeysDeps {
  readonly folder: string
  /** Whose files root's request handler believes: root's, but for tests. */
  readonly owner: { readonly uid: number; readonly gid: number }
}

const writableByOthers = 0o022

/** The public keys that updates of the agent are signed with: root believes those alone that nobody else may write. */
export function updateKeysCheck(deps: UpdateKeysDeps): Check {
  const { folder } = deps
  return {
    id: 'update-keys',
    name: 'update keys',
    withinMs: 5_000,
    run: async () => {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errorCode(error) === 'EACCES') throw new UnseenError(folder)
        return []
      })
      const keys = names.filter((name) => name.endsWith('.pem')).map((name) => join(folder, name))
      if (keys.length === 0) return [skip(`there is none in ${folder}: updates of the agent by job are refused`)]
      const faults = await Promise.all(
        [dirname(folder), folder, ...keys].map(async (path) => await faultOf(path, keys.includes(path), deps)),
      )
      const found = faults.filter((fault) => fault !== undefined)
      return found.length === 0 ? [pass(`${keys.length} in ${folder}, believed by root`)] : found
    },
  }
}

async function faultOf(path: string, isKey: boolean, { owner }: UpdateKeysDeps): Promise<Outcome | undefined> {
  const { uid, gid, mode } = await lstat(path)
  if (uid !== owner.uid || (isKey && gid !== owner.gid) || (mode & writableByOthers) !== 0) {
    return fail(
      `${path} is not believed: it is not root's alone, so that every update of the agent is refused`,
      `chown root:root ${path} and chmod go-w ${path}, after a look at what is in it`,
    )
  }
  if (!isKey || (await isPublicKey(path))) return undefined
  return fail(`${path} is no public key of Ed25519 or P-256 in PEM`, 'make it with: openssl pkey -in KEY -pubout')
}

async function isPublicKey(path: string): Promise<boolean> {
  const pem = await readFile(path, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'EACCES') throw new UnseenError(path)
    throw error
  })
  try {
    const { asymmetricKeyType: type, asymmetricKeyDetails: details } = createPublicKey(pem)
    return !pem.includes('PRIVATE KEY') && (type === 'ed25519' || details?.namedCurve === 'prime256v1')
  } catch {
    return false
  }
}
