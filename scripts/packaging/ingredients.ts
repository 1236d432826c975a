import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

import * as z from 'zod'

import { AgentError } from '../../agent/lib/errors.ts'

/** Something made by others of which all or parts are in the package. */
export interface Ingredient {
  /** Its folder in the checkout, such as `node_modules/zod`. */
  readonly path: string
  readonly name: string
  readonly version: string
  /** An SPDX name. */
  readonly license: string
  /** The licence as it came with it; undefined where it brought none. */
  readonly licenseText: string | undefined
  /** Its NOTICE and the like, which have to go where it goes (Apache-2.0, section 4d). */
  readonly noticeTexts: readonly string[]
  /** Who holds the rights, one notice each; at least one. */
  readonly copyright: readonly string[]
  /** The SHA-512 of what npm installed, in hexadecimal digits. */
  readonly sha512: string
}

/** Licences that somebody has looked at; whoever adds one makes sure that the package may carry it. */
const acceptedLicenses = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'BlueOak-1.0.0', 'ISC', 'MIT']

const bundleMetaSchema = z.object({ inputs: z.record(z.string(), z.unknown()) })
const manifestSchema = z.object({
  name: z.string(),
  version: z.string(),
  license: z.string(),
  author: z.union([z.string(), z.object({ name: z.string() })]).optional(),
})
const lockSchema = z.object({
  packages: z.record(z.string(), z.object({ version: z.string().optional(), integrity: z.string().optional() })),
})

/** The folders of the npm packages that esbuild took something from, by name. `bundleMeta` is its metafile. */
export function bundledFolders(bundleMeta: unknown): readonly string[] {
  const folders = new Set<string>()
  for (const input of Object.keys(bundleMetaSchema.parse(bundleMeta).inputs)) {
    const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? []
    if (folder !== undefined) folders.add(folder)
  }
  return [...folders].sort()
}

/**
 * Looks up each of the folders. Throws when one is not as the lock file has it, or has a licence that nobody accepted or
 * that the package would have to carry the text of and cannot.
 */
export async function findIngredients(root: string, folders: readonly string[]): Promise<readonly Ingredient[]> {
  const lock = lockSchema.parse(JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')))
  return await Promise.all(
    folders.map(async (path) => {
      const { name, version, license, author } = manifestSchema.parse(
        JSON.parse(await readFile(join(root, path, 'package.json'), 'utf8')),
      )
      const locked = lock.packages[path]
      if (locked?.version !== version || locked.integrity === undefined) {
        throw new AgentError(`${path} is not as package-lock.json has it`, { hint: 'npm ci --ignore-scripts' })
      }
      const { licenseText, noticeTexts, notices } = await readNotices(join(root, path))
      if (!acceptedLicenses.includes(license) || (licenseText === undefined && license !== 'Apache-2.0')) {
        throw new AgentError(`${path} is under ${license}, which the package cannot carry as it is`, {
          hint: 'look at its licence, then see scripts/packaging/ingredients.ts',
        })
      }
      const holder = typeof author === 'string' ? author : author?.name
      const copyright = notices.length > 0 ? notices : [holder ?? `the authors of ${name}`]
      return { path, name, version, license, licenseText, noticeTexts, copyright, sha512: toHex(locked.integrity) }
    }),
  )
}

async function readNotices(folder: string) {
  const names = (await readdir(folder)).sort()
  const licenseName = names.find((name) => /^licen[cs]e/i.test(name))
  const licenseText = licenseName === undefined ? undefined : await readFile(join(folder, licenseName), 'utf8')
  const others = names.filter((name) => /^(notice|copyright)/i.test(name))
  const noticeTexts = await Promise.all(others.map((name) => readFile(join(folder, name), 'utf8')))
  const notices = copyrightNotices([licenseText ?? '', ...noticeTexts].join('\n'))
  return { licenseText, noticeTexts, notices }
}

/** The lines of a licence that say who holds the rights; not those of the terms, nor of a form to fill in. */
export function copyrightNotices(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.replace(/^[\s#*/;-]+/, '').trim())
  const notices = lines.filter((line) => /^copyright (\(c\)|©|\d{4})/i.test(line) && !/\[yyyy\]|\{yyyy\}/.test(line))
  return [
    ...new Set(notices.map((line) => line.replace(/^copyright /i, '').replace(/\.? *All rights reserved\.?$/i, ''))),
  ]
}

function toHex(integrity: string): string {
  const [, base64] = /^sha512-(\S+)$/.exec(integrity) ?? []
  if (base64 === undefined) throw new AgentError(`package-lock.json has a digest of another kind: ${integrity}`)
  return Buffer.from(base64, 'base64').toString('hex')
}
