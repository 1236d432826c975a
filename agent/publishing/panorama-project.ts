import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { AgentError, errorCode } from '../lib/errors.ts'
import { schemaFault } from '../lib/schema-words.ts'
import { describeFiles, listFiles, type LocalFile } from './release-folder.ts'

const implementation = z.object({ assetUri: z.string().optional(), descriptorUri: z.string().optional() })
const packageFile = z.object({
  nodePackage: z.object({
    assets: z.array(z.object({ implementations: z.array(implementation).default([]) })).default([]),
  }),
})

/**
 * What an application project of AWS Panorama holds for appliances: `packages/<package>/` with its JSON files, `graphs/`, and
 * of `assets/` what a `package.json` names, each verified against the sha256 that is its name. They keep their paths.
 * Throws an AgentError that names every asset that is missing or damaged.
 */
export async function readPanoramaProject(folder: string, signal: AbortSignal): Promise<readonly LocalFile[]> {
  const packages = await foldersBelow(join(folder, 'packages'))
  if (packages.length === 0) {
    throw new AgentError(`${folder} has no packages/`, { hint: 'name the folder of a Panorama application project' })
  }
  const assets = new Set<string>()
  for (const name of packages) {
    for (const asset of await assetsOf(join(folder, 'packages', name, 'package.json'))) assets.add(asset)
  }
  await refuseMissing(folder, assets)
  const described = await describeFiles(
    folder,
    [
      ...(await jsonFilesBelow(folder, 'packages')),
      ...(await jsonFilesBelow(folder, 'graphs')),
      ...[...assets].map((asset) => `assets/${asset}`),
    ],
    signal,
  )
  refuseDamaged(described)
  return described
}

async function assetsOf(file: string): Promise<readonly string[]> {
  const { nodePackage } = await readPackage(file)
  const uris = nodePackage.assets.flatMap(({ implementations }) =>
    implementations.flatMap(({ assetUri, descriptorUri }) => [assetUri, descriptorUri]),
  )
  return uris.filter((uri) => uri !== undefined && uri !== '').map((uri) => checkedUri(String(uri), file))
}

async function readPackage(file: string): Promise<z.infer<typeof packageFile>> {
  try {
    return packageFile.parse(JSON.parse(await readFile(file, 'utf8')))
  } catch (error) {
    const why = errorCode(error) === 'ENOENT' ? 'is not there' : 'is no package.json of Panorama'
    throw new AgentError(`${file} ${why}`, {
      cause: schemaFault(error),
      hint: 'look at it with panorama-cli build-container',
    })
  }
}

/** An asset is a file beside others, named by its content. */
function checkedUri(uri: string, file: string): string {
  if (/^[0-9a-f]{64}(\.[A-Za-z0-9]+)*$/.test(uri)) return uri
  throw new AgentError(`${file} names the asset ${JSON.stringify(uri)}, which is not a sha256 with an extension`, {
    hint: 'build and package it again with panorama-cli',
  })
}

async function refuseMissing(folder: string, assets: ReadonlySet<string>): Promise<void> {
  const there = new Set(await readdir(join(folder, 'assets')).catch(() => []))
  const missing = [...assets].filter((asset) => !there.has(asset))
  if (missing.length === 0) return
  throw new AgentError(`${join(folder, 'assets')} lacks ${missing.join(', ')}`, {
    hint: 'build and package them with panorama-cli, or take the package that names them out of packages/',
  })
}

function refuseDamaged(files: readonly LocalFile[]): void {
  const damaged = files.filter(({ path, sha256 }) => path.startsWith('assets/') && !path.startsWith(`assets/${sha256}`))
  if (damaged.length === 0) return
  throw new AgentError(`the content of ${damaged.map(({ path }) => path).join(', ')} is not what the name says`, {
    hint: 'build and package it again with panorama-cli',
  })
}

async function jsonFilesBelow(folder: string, name: string): Promise<readonly string[]> {
  const below = await foldersBelow(join(folder, name))
  const lists = await Promise.all(
    below.map(async (each) => (await listFiles(join(folder, name, each))).map((path) => `${name}/${each}/${path}`)),
  )
  return lists.flat().filter((path) => path.endsWith('.json'))
}

async function foldersBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}
