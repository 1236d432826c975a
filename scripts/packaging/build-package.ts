import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { listControlFiles } from './control-files.ts'
import { listDocuments } from './documents.ts'
import { mergeLibraryVersions } from './library-versions.ts'
import { listPrograms } from './package-files.ts'
import { settleTree, writeTree } from './package-tree.ts'
import { findPlatformModules, type PlatformModules } from './platform-modules.ts'
import type { Platform } from './platform.ts'
import { runTool } from './run-tool.ts'
import { renderSizes } from './size-table.ts'
import { findSourceDate } from './source-date.ts'
import { findLibraryVersions, stripBinary } from './strip-binary.ts'

export interface PackageOptions {
  /** The checkout. */
  readonly root: string
  readonly platform: Platform
  readonly version: string
  /** Quick to make, and larger. */
  readonly isFast: boolean
  /** Where the package goes. */
  readonly outputFolder: string
  /** `SOURCE_DATE_EPOCH`, where it is set. */
  readonly sourceDate: string | undefined
}

export interface BuiltPackage {
  readonly path: string
  /** What takes the space once it is installed, as a table. */
  readonly sizes: string
}

/** Builds the package. The same checkout gives the same bytes, whatever machine builds it. */
export async function buildPackage(options: PackageOptions): Promise<BuiltPackage> {
  const { root, platform, version, outputFolder } = options
  await using resources = new AsyncDisposableStack()
  const work = await mkdtemp(join(tmpdir(), 'panorama-agent-package-'))
  resources.defer(() => rm(work, { recursive: true, force: true }))
  const sourceDate = await findSourceDate(root, options.sourceDate)
  const modules = await findPlatformModules(root, platform)
  const dist = await buildBundles(root, work)
  const bundleMeta: unknown = JSON.parse(await readFile(join(dist, 'bundle-meta.json'), 'utf8'))
  const files = [
    ...(await listPrograms({
      root,
      platform,
      binaries: await stripBinaries(platform, modules, work),
      bundles: join(dist, 'native'),
    })),
    ...(await listDocuments({ root, platform, modules, version, sourceDate, bundleMeta })),
  ]
  const tree = join(work, 'tree')
  await writeTree(tree, files)
  const sizes = await renderSizes(tree, files)
  const needed = [modules.node, modules.crt].map((binary) => findLibraryVersions(platform, binary))
  const libraries = mergeLibraryVersions(await Promise.all(needed))
  await writeTree(tree, await listControlFiles({ root, tree, platform, version, libraries }))
  await settleTree(tree, new Date(sourceDate * 1000))
  await mkdir(outputFolder, { recursive: true })
  const path = join(outputFolder, `panorama-agent_${version}_${platform.architecture}.deb`)
  await runTool('dpkg-deb', [...compression(options), '--root-owner-group', '--build', tree, path], {
    env: { SOURCE_DATE_EPOCH: String(sourceDate) },
    hint: 'install the Debian package dpkg',
  })
  return { path, sizes }
}

async function buildBundles(root: string, work: string): Promise<string> {
  const dist = join(work, 'dist')
  await runTool(process.execPath, [join(root, 'scripts', 'build.ts'), '--outdir', dist], {
    cwd: root,
    hint: 'run `npm run build` to see more',
  })
  return dist
}

async function stripBinaries(platform: Platform, modules: PlatformModules, work: string) {
  const binaries = { node: join(work, 'node'), crt: join(work, 'aws-crt-nodejs.node') }
  await stripBinary(platform, modules.node, binaries.node)
  await stripBinary(platform, modules.crt, binaries.crt)
  return binaries
}

/** One thread: with more, the bytes depend on the machine. */
function compression({ isFast }: PackageOptions): readonly string[] {
  return isFast ? ['-Zgzip', '-z1'] : ['-Zxz', '-z9', '-Sextreme', '--threads-max=1']
}
