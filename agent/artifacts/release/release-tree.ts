import { randomUUID } from 'node:crypto'
import { lstat, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import * as z from 'zod'

import { syncFolder } from '../../lib/atomic-file.ts'
import { makeFolder, makeRealFolder, renameDurably } from '../../lib/durable-files.ts'
import { errorCode } from '../../lib/errors.ts'
import { readJsonState, writeJsonState } from '../../lib/json-state.ts'
import type { Log } from '../../lib/log.ts'
import type { Release } from '../artifact-plan.ts'
import type { ContentStore } from '../content-store.ts'
import { foldersOf } from './release-path.ts'

const folderMode = 0o755

/** What the file system says of a link to nothing, to itself, and through a file. */
const leadsNowhere: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ELOOP', 'ENOTDIR'])

const file = z.object({ path: z.string(), sizeBytes: z.number(), sha256: z.string(), executable: z.boolean() })
const recordFile = z.object({
  version: z.literal(1),
  releaseId: z.string(),
  /** The release to go back to: the one that was current before. */
  previous: z.string().optional(),
  installedAt: z.iso.datetime(),
  files: z.array(file),
})

/** What is known of an installed release, kept beside its tree. */
export type ReleaseRecord = Readonly<z.infer<typeof recordFile>>

/** How to install a release. */
export interface InstallOptions {
  readonly store: ContentStore
  readonly signal: AbortSignal
  /** Builds a tree even where there is one, because that one is damaged. Default false. */
  readonly anew?: boolean
}

/**
 * The releases of one artifact: trees in `releases/<releaseId>/`, a record in `releases/<releaseId>.json` for each,
 * and `current`, a relative link to one tree. A tree appears complete or not at all, and so does a switch; after a
 * power cut `current` names the old release or the new one, whole. A tree is never mended in place: one that is built
 * anew is `releases/<releaseId>~<n>/`.
 */
export class ReleaseTree {
  readonly #folder: string
  readonly #log: Log
  readonly #now: () => number

  /** `now` is the time that releases are said to be installed at, in milliseconds since 1970. */
  constructor(folder: string, log: Log, now: () => number = Date.now) {
    this.#folder = folder
    this.#log = log
    this.#now = now
  }

  /** The id of the release that `current` names, if it names one that is there. */
  async currentId(): Promise<string | undefined> {
    try {
      const target = await readlink(join(this.#folder, 'current'))
      await stat(join(this.#folder, 'current', '.'))
      return idOf(basename(target))
    } catch (error) {
      if (leadsNowhere.has(errorCode(error))) return undefined
      throw error
    }
  }

  /** The record of a release; undefined when there is none that can be read. */
  async record(releaseId: string): Promise<ReleaseRecord | undefined> {
    const path = this.#recordPath(releaseId)
    return await readJsonState({ path, log: this.#log, parse: (json) => recordFile.parse(json) })
  }

  /**
   * Makes the folders that are missing and removes what a crash left behind: half-built trees, temporary files. What
   * stands in the place of `current` and is no link is set aside as `current.unreadable`.
   */
  async prepare(): Promise<void> {
    await makeFolder(dirname(this.#folder), folderMode)
    await makeFolder(this.#folder, folderMode)
    await makeRealFolder(join(this.#folder, 'releases'), folderMode)
    await makeRealFolder(this.incoming, 0o700)
    await removeEntries(this.incoming, () => true)
    for (const folder of [this.#folder, join(this.#folder, 'releases')]) await removeEntries(folder, isTemporary)
    await this.#setAsideNoLink()
  }

  /** The folder for files in the making; `prepare` empties it. */
  get incoming(): string {
    return join(this.#folder, 'incoming')
  }

  /** The records of all releases whose trees are there, in no order. */
  async list(): Promise<readonly ReleaseRecord[]> {
    const trees = (await readdir(this.#releases)).filter((name) => !name.includes('.')).map(idOf)
    const records: ReleaseRecord[] = []
    for (const releaseId of new Set(trees)) {
      const record = await this.record(releaseId)
      if (record !== undefined) records.push(record)
    }
    return records
  }

  /**
   * Installs a release whose content the store holds, and makes it current. A tree that is there is used as it is.
   * Throws the signal's reason when it aborts before the tree is built; nothing is switched then.
   */
  async install(release: Release, { store, signal, anew = false }: InstallOptions): Promise<ReleaseRecord> {
    const { releaseId } = release
    const before = await this.currentId()
    const built = await this.#treesOf(releaseId)
    const tree = built[0] === undefined ? releaseId : anew ? nextName(built[0]) : built[0]
    if (!built.includes(tree)) await this.#build(release, { store, signal, tree })
    const previous = before === releaseId ? (await this.record(releaseId))?.previous : before
    const record: ReleaseRecord = {
      version: 1,
      releaseId,
      ...(previous === undefined ? {} : { previous }),
      installedAt: new Date(this.#now()).toISOString(),
      files: [...release.files],
    }
    await writeJsonState(this.#recordPath(releaseId), record)
    await this.#pointTo(tree)
    return record
  }

  /** Where the newest tree of a release is; for the current release, the tree that `current` names. */
  async pathOf(releaseId: string): Promise<string> {
    const current = await this.#currentTree()
    const [tree = releaseId] = await this.#treesOf(releaseId)
    return join(this.#releases, current !== undefined && idOf(current) === releaseId ? current : tree)
  }

  /** Makes a release that is there current again. Throws when its tree is not there. */
  async switchTo(releaseId: string): Promise<void> {
    const [tree] = await this.#treesOf(releaseId)
    if (tree === undefined) throw new Error(`release ${releaseId} is not there`)
    await this.#pointTo(tree)
  }

  /** Removes every release that is not in `keep`, and of those in it damaged trees; never the one that `current` names. */
  async collect(keep: readonly (string | undefined)[]): Promise<void> {
    const kept = new Set(keep.filter((releaseId) => releaseId !== undefined))
    const current = await this.#currentTree()
    if (current !== undefined) kept.add(idOf(current))
    const names = new Set([...kept].map((releaseId) => `${releaseId}.json`))
    for (const releaseId of kept) names.add(basename(await this.pathOf(releaseId)))
    for (const name of await readdir(this.#releases)) {
      if (names.has(name)) continue
      // a tree must not be taken for a whole one when its removal is cut short
      const doomed = join(this.incoming, randomUUID())
      await rename(join(this.#releases, name), doomed)
      await syncFolder(this.#releases)
      await rm(doomed, { recursive: true })
    }
  }

  /** Every file in a tree that `current` does not name, and that `collect` may therefore remove. */
  async filesOfOthers(): Promise<readonly string[]> {
    const current = await this.#currentTree()
    const files: string[] = []
    for (const tree of await readdir(this.#releases)) {
      if (tree.includes('.') || tree === current) continue
      const entries = await readdir(join(this.#releases, tree), { recursive: true, withFileTypes: true })
      for (const entry of entries) if (entry.isFile()) files.push(join(entry.parentPath, entry.name))
    }
    return files
  }

  async #setAsideNoLink(): Promise<void> {
    const path = join(this.#folder, 'current')
    const found = await lstat(path).catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined
      throw error
    })
    if (found === undefined || found.isSymbolicLink()) return
    const aside = `${path}.unreadable`
    await rm(aside, { recursive: true, force: true })
    await renameDurably(path, aside)
    this.#log.warn('what stands in the place of the current release is no link and is set aside', { path, aside })
  }

  /** The trees of a release, the newest first. */
  async #treesOf(releaseId: string): Promise<readonly string[]> {
    const trees = (await readdir(this.#releases)).filter((name) => !name.includes('.') && idOf(name) === releaseId)
    return trees.sort((one, other) => generationOf(other) - generationOf(one))
  }

  async #currentTree(): Promise<string | undefined> {
    if ((await this.currentId()) === undefined) return undefined
    return basename(await readlink(join(this.#folder, 'current')))
  }

  async #build(
    { files }: Release,
    { store, signal, tree }: { readonly tree: string; readonly store: ContentStore; readonly signal: AbortSignal },
  ): Promise<void> {
    const root = join(this.incoming, randomUUID())
    await makeFolder(root, folderMode)
    const folders = new Set(files.flatMap(({ path }) => foldersOf(path)))
    for (const folder of folders) await makeFolder(join(root, folder), folderMode)
    for (const file of files) {
      signal.throwIfAborted()
      await store.link(file, join(root, file.path))
    }
    for (const folder of ['', ...folders]) await syncFolder(join(root, folder))
    await renameDurably(root, join(this.#releases, tree))
  }

  async #pointTo(tree: string): Promise<void> {
    const link = join(this.incoming, randomUUID())
    await symlink(join('releases', tree), link)
    await renameDurably(link, join(this.#folder, 'current'))
  }

  get #releases(): string {
    return join(this.#folder, 'releases')
  }

  #recordPath(releaseId: string): string {
    return join(this.#releases, `${releaseId}.json`)
  }
}

/** A tree is named `<releaseId>` or `<releaseId>~<n>`. */
function idOf(tree: string): string {
  return tree.split('~')[0] ?? tree
}

function generationOf(tree: string): number {
  return Number(tree.split('~')[1] ?? 0)
}

function nextName(tree: string): string {
  return `${idOf(tree)}~${generationOf(tree) + 1}`
}

async function removeEntries(folder: string, isUnwanted: (name: string) => boolean): Promise<void> {
  for (const name of await readdir(folder)) {
    if (isUnwanted(name)) await rm(join(folder, name), { recursive: true, force: true })
  }
}

/** As lib/atomic-file names what it has not finished. */
function isTemporary(name: string): boolean {
  return /^\.[0-9a-f]{12}\.tmp$/.test(name)
}
