import { readdir, readFile } from 'node:fs/promises'
import { PassThrough } from 'node:stream'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'

import { createProgram } from '../../agent/commands/command-line.ts'
import { renderChangelog } from './changelog.ts'
import { outlineCommands, renderCompletion } from './completion.ts'
import { maintainer } from './control.ts'
import { renderCopyright } from './copyright.ts'
import { bundledFolders, findIngredients } from './ingredients.ts'
import type { PackageFile } from './package-tree.ts'
import { crtFolder, runtimeFolder, type PlatformModules } from './platform-modules.ts'
import type { Platform } from './platform.ts'
import { renderSbom } from './sbom.ts'

export interface DocumentSources {
  /** The checkout. */
  readonly root: string
  readonly platform: Platform
  readonly modules: PlatformModules
  readonly version: string
  /** In seconds since 1970. */
  readonly sourceDate: number
  /** esbuild's metafile of the bundles. */
  readonly bundleMeta: unknown
}

/** Linked into aws-crt's binary, which does not say in which versions (seen in it: the names of their source files). */
const linkedIntoCrt = [
  ...['auth', 'cal', 'common', 'compression', 'event-stream', 'http', 'io', 'mqtt', 'sdkutils'].map(
    (name) => `aws-c-${name}`,
  ),
  ...['aws-checksums', 'aws-lc', 's2n-tls'],
]

const doc = 'usr/share/doc/panorama-agent'

/** Everything to read, for people and for tools. */
export async function listDocuments(sources: DocumentSources): Promise<readonly PackageFile[]> {
  const { root } = sources
  const completion = renderCompletion('panorama-agent', outlineCommands(createProgram(unusedContext)))
  return [
    text('usr/share/panorama-agent/agent.schema.json', await read(root, 'config/agent.schema.json')),
    text('usr/share/bash-completion/completions/panorama-agent', completion),
    text('usr/share/lintian/overrides/panorama-agent', await read(root, 'packaging/lintian-overrides')),
    text('usr/share/man/man8/panorama-agent.8.gz', compress(await read(root, 'packaging/panorama-agent.8'))),
    text(
      `${doc}/changelog.gz`,
      compress(renderChangelog({ ...sources, text: await read(root, 'CHANGELOG.md'), maintainer })),
    ),
    text(`${doc}/examples/config.json`, await renderExample(root)),
    ...(await listConsumers(root)),
    ...(await listNotices(sources)),
  ]
}

/** Copyright file and SBOM speak of the npm packages that are bundled, of the runtime, and of aws-crt. */
async function listNotices({ root, platform, modules, version, bundleMeta }: DocumentSources) {
  const runtime = runtimeFolder(platform)
  const linked = await Promise.all(
    ['aws-lc.txt', 'aws-c-common.txt'].map((name) => read(root, `packaging/licenses/${name}`)),
  )
  const extras: Readonly<Record<string, Extras>> = {
    [crtFolder]: {
      inside: linked.map((licenses) => `Linked into its binary:\n\n${licenses}`),
      contains: Object.fromEntries(linkedIntoCrt.map((name) => [name, undefined])),
    },
    [runtime]: { contains: linkedIntoNode() },
  }
  const bundled = bundledFolders(bundleMeta).filter((folder) => folder !== crtFolder)
  const found = [
    ...(await findIngredients(root, bundled)),
    ...(await findIngredients(modules.root, [crtFolder, runtime])),
  ]
  const ingredients = found.map((ingredient) => ({ ...ingredient, ...extras[ingredient.path] }))
  return [
    text(`${doc}/copyright`, renderCopyright({ ingredients })),
    text(`${doc}/sbom.cdx.json`, renderSbom({ version, ingredients })),
  ]
}

interface Extras {
  readonly inside?: readonly string[]
  readonly contains: Readonly<Record<string, string | undefined>>
}

/** What `process.versions` has besides libraries. */
const notLibraries = ['node', 'modules', 'napi', 'unicode', 'tz', 'cldr']

/** The build runs on the runtime that the package carries, which knows what is in it. */
function linkedIntoNode(): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(process.versions).filter(([name]) => !notLibraries.includes(name)))
}

async function renderExample(root: string): Promise<string> {
  const example = await read(root, 'config/example.json')
  return example.replace('./agent.schema.json', '/usr/share/panorama-agent/agent.schema.json')
}

/** Programs that follow camera files: units, and scripts to run. */
async function listConsumers(root: string): Promise<readonly PackageFile[]> {
  const folder = join(root, 'config', 'consumers')
  const names = (await readdir(folder)).sort()
  return names.map((name) => ({
    path: `${doc}/examples/consumers/${name}`,
    mode: name.includes('.') ? 0o644 : 0o755,
    source: { copyOf: join(folder, name) },
  }))
}

/** Asked for its shape only, the command line runs nothing. */
const unusedContext = {
  signal: AbortSignal.abort(),
  stdout: new PassThrough(),
  stderr: new PassThrough(),
  service: {},
  onHangup: () => undefined,
}

/** gzip as Node writes it has no time and no name in it. */
function compress(content: string): Uint8Array {
  return gzipSync(content, { level: 9 })
}

async function read(root: string, path: string): Promise<string> {
  return await readFile(join(root, path), 'utf8')
}

function text(path: string, content: string | Uint8Array): PackageFile {
  return { path, mode: 0o644, source: { content } }
}
