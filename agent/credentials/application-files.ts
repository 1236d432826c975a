import { chmod, chown, lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { syncFolder, writeFileAtomic } from '../lib/atomic-file.ts'
import { makeRealFolder } from '../lib/durable-files.ts'
import { errorCode } from '../lib/errors.ts'
import { pathOf } from './credentials-request.ts'
import { isToken, newToken } from './application-token.ts'

export interface ApplicationFilesOptions {
  /** `<runtime>/applications` */
  readonly folder: string
  readonly port: number
  readonly region: string
}

const folderMode = 0o750
const fileMode = 0o640

/**
 * What applications find in `<runtime>/applications/<name>/`, open to the agent and one group: `token`, without a line
 * break because SDKs send it as it is, and `aws.env`. The token stays as long as it could be read by that group alone.
 */
export class ApplicationFiles {
  readonly #options: ApplicationFilesOptions

  constructor(options: ApplicationFilesOptions) {
    this.#options = options
  }

  /** Makes the folder, and removes what is in it of applications that are not named; without any, the folder too. */
  async prepare(names: readonly string[]): Promise<void> {
    const { folder } = this.#options
    if (names.length === 0) {
      await rm(folder, { recursive: true, force: true })
      return
    }
    await mkdir(dirname(folder), { recursive: true, mode: 0o755 })
    await makeRealFolder(folder, 0o755)
    const unexpected = (await readdir(folder)).filter((name) => !names.includes(name))
    for (const name of unexpected) await rm(join(folder, name), { recursive: true, force: true })
  }

  /**
   * Brings the files of one application to what they should be, and answers its token: a new one where there is none,
   * it is damaged, or somebody outside of the group could have read it, as after a change of the group.
   */
  async write(name: string, gid: number): Promise<string> {
    const folder = join(this.#options.folder, name)
    const isOpenToGroupOnly = await isEntry(folder, { isFolder: true, mode: folderMode, gid })
    if (!isOpenToGroupOnly) await makeGroupFolder(folder, gid)
    await removeUnfinished(folder)
    const tokenFile = join(folder, 'token')
    const found = await readGroupFile(tokenFile, gid)
    const token = found !== undefined && isToken(found) ? found : newToken()
    if (token !== found) await writeFileAtomic(tokenFile, token, { mode: fileMode, gid })
    const environment = this.#environment(name, tokenFile, token)
    const environmentFile = join(folder, 'aws.env')
    if ((await readGroupFile(environmentFile, gid)) !== environment) {
      await writeFileAtomic(environmentFile, environment, { mode: fileMode, gid })
    }
    return token
  }

  /**
   * Without quotes, so that systemd's `EnvironmentFile=` and docker's `--env-file` read the same. Current SDKs take the
   * file where both are set, older ones know the token alone; AWS_REGION is what most SDKs read, AWS_DEFAULT_REGION
   * what boto3 does.
   */
  #environment(name: string, tokenFile: string, token: string): string {
    const { port, region } = this.#options
    const variables = {
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://127.0.0.1:${port}${pathOf(name)}`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: token,
      AWS_REGION: region,
      AWS_DEFAULT_REGION: region,
    }
    return Object.entries(variables)
      .map(([variable, value]) => `${variable}=${value}\n`)
      .join('')
  }
}

interface Expected {
  readonly isFolder: boolean
  readonly mode: number
  readonly gid: number
}

async function isEntry(path: string, { isFolder, mode, gid }: Expected): Promise<boolean> {
  const found = await lstat(path).catch(ignoreMissing)
  if (found === undefined || !(isFolder ? found.isDirectory() : found.isFile())) return false
  return (found.mode & 0o7777) === mode && found.gid === gid
}

/** The group comes before the mode lets it in; what was there may have been read by others, and goes. */
async function makeGroupFolder(path: string, gid: number): Promise<void> {
  await rm(path, { recursive: true, force: true })
  await mkdir(path, { mode: 0o700 })
  await chown(path, -1, gid)
  await chmod(path, folderMode)
  await syncFolder(dirname(path))
}

/** What lib/atomic-file had not finished at a crash. */
async function removeUnfinished(folder: string): Promise<void> {
  const unfinished = (await readdir(folder)).filter((name) => /^\.[0-9a-f]{12}\.tmp$/.test(name))
  for (const name of unfinished) await rm(join(folder, name), { force: true })
}

/** Undefined when there is none that is as it should be. Throws when that cannot be told, for want of descriptors or so. */
async function readGroupFile(path: string, gid: number): Promise<string | undefined> {
  if (!(await isEntry(path, { isFolder: false, mode: fileMode, gid }))) {
    await rm(path, { recursive: true, force: true })
    return undefined
  }
  return await readFile(path, 'utf8').catch(ignoreMissing)
}

function ignoreMissing(error: unknown): undefined {
  if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') throw error
  return undefined
}
