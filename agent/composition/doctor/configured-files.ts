import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { readTrustedKeys } from '../../artifacts/release/release-signature.ts'
import type { UnprovisionedConfig } from '../../config/config-schema.ts'
import type { ConfigFault } from '../../config/config-error.ts'
import { isIn } from '../../doctor/service-sandbox.ts'
import type { ServiceUser } from '../../doctor/file-access.ts'
import type { NeededFile } from '../../doctor/files-check.ts'
import { errorCode, reportError } from '../../lib/errors.ts'
import { readProxyLine } from '../../network/proxy-settings.ts'
import { keptAmong } from '../../reset/wipe-folder.ts'
import { othersInState, secretsInState } from '../../reset/kept-entries.ts'

const manyNames = 200

/**
 * What a configuration names besides identity, claim and serial number, which are looked at for themselves, and what the agent
 * keeps, which somebody else may have put there, such as root. Without what systemd is about to give to the agent.
 */
export async function configuredFiles(config: UnprovisionedConfig, user: ServiceUser): Promise<readonly NeededFile[]> {
  const { state, runtime } = config.paths
  const kept = [...(await keptFiles(state)), ...(await foldersIn(runtime))]
  const files = [...namedFiles(config), ...logFiles(config), ...ownFolders(config), ...kept]
  const isGiven = await Promise.all(files.map(async ({ path }) => await isGivenBySystemd(path, user)))
  return files.filter((_, index) => isGiven[index] === false)
}

async function keptFiles(state: string): Promise<readonly NeededFile[]> {
  const found: NeededFile[] = []
  for (const name of keptAmong(await namesIn(state), [...secretsInState, ...othersInState])) {
    const path = join(state, name)
    const file = await keptFile(path)
    if (file !== undefined) found.push(file)
    if (file?.need !== 'write') continue
    for (const inner of (await namesIn(path)).filter((each) => each !== 'lost+found').slice(0, manyNames)) {
      const kept = await keptFile(join(path, inner))
      if (kept !== undefined) found.push(kept)
    }
  }
  return found
}

/** Those of the agent that are there. */
async function foldersIn(runtime: string): Promise<readonly NeededFile[]> {
  const found = await Promise.all(['cameras', 'applications'].map(async (name) => await keptFile(join(runtime, name))))
  return found.filter((file) => file !== undefined)
}

/** Whether systemd makes a folder at the start of the service, or gives it to it with all that is in it. */
async function isGivenBySystemd(path: string, { uid, sandbox }: ServiceUser): Promise<boolean> {
  const made = sandbox?.made.find((folder) => isIn(path, folder))
  if (made === undefined) return false
  const owner = await stat(made).catch(() => undefined)
  return owner === undefined || (owner.isDirectory() && owner.uid !== uid)
}

/** Files that a configuration names, and that are not there or not what they should be: it is good all the same. */
export async function fileWarnings(config: UnprovisionedConfig): Promise<readonly ConfigFault[]> {
  const faults = await Promise.all(
    namedFiles(config).map(async ({ field, path, verify }) => {
      try {
        await stat(path)
        await verify?.()
        return []
      } catch (error) {
        const isMissing = errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR'
        return [{ path: field, message: isMissing ? `${path} is not there` : reportError(error).message }]
      }
    }),
  )
  return faults.flat()
}

/** Of which the agent needs each. */
function namedFiles({ artifacts, network, cameras }: UnprovisionedConfig): readonly NeededFile[] {
  const read = { need: 'read', isRequired: true } as const
  const { usernameFile, passwordFile } = network.proxy ?? {}
  const proxy = Object.entries({ usernameFile, passwordFile }).flatMap(([name, path]) =>
    path === undefined
      ? []
      : [{ ...read, field: `network.proxy.${name}`, path, verify: async () => await readProxyLine(path) }],
  )
  const keys = artifacts.flatMap(({ trustedKeys }, artifact) =>
    trustedKeys.flatMap((path, key) => {
      const field = `artifacts[${artifact}].trustedKeys[${key}]`
      return path.startsWith('/') ? [{ ...read, field, path, verify: async () => await readTrustedKeys([path]) }] : []
    }),
  )
  const authorities = [
    { field: 'cameras.ca', path: cameras.ca },
    ...cameras.streams.map(({ ca }, index) => ({ field: `cameras.streams[${index}].ca`, path: ca })),
  ].flatMap(({ field, path }) => (path === undefined ? [] : [{ ...read, field, path }]))
  return [...proxy, ...keys, ...authorities]
}

/** Those that are named without a pattern; they may come later. */
function logFiles({ logs }: UnprovisionedConfig): readonly NeededFile[] {
  return logs.sources.flatMap((source, index) => {
    if (source.kind === 'file' && !/[*?]/.test(source.path)) {
      return [{ field: `logs.sources[${index}].path`, path: source.path, need: 'read' as const }]
    }
    if (source.kind !== 'applications') return []
    return [{ field: `logs.sources[${index}].folder`, path: source.folder, need: 'read' as const }]
  })
}

function ownFolders({ paths, provisioning }: UnprovisionedConfig): readonly NeededFile[] {
  const write = { need: 'write' } as const
  const claim =
    provisioning?.deleteClaim === true
      ? [{ ...write, field: 'provisioning.deleteClaim', path: dirname(provisioning.claimPrivateKey) }]
      : []
  return [
    { ...write, field: 'paths.state', path: paths.state },
    { ...write, field: 'paths.runtime', path: paths.runtime },
    ...claim,
  ]
}

/** Undefined where there is nothing. */
async function keptFile(path: string): Promise<NeededFile | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return undefined
  return { field: path, path, need: found.isDirectory() ? 'write' : 'read' }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return await readdir(folder).catch(() => [])
}
