import { randomUUID } from 'node:crypto'
import { lstat, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import * as z from 'zod'

import { syncFolder } from '../lib/atomic-file.ts'
import { makeFolder, renameDurably } from '../lib/durable-files.ts'
import { errorCode } from '../lib/errors.ts'
import { readJsonState, writeJsonState } from '../lib/json-state.ts'
import type { Log } from '../lib/log.ts'
import type { Release } from './artifact-plan.ts'
import type { ContentStore } from './content-store.ts'
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

/**
 * The releases of one artifact: trees in `releases/<releaseId>/`, a record in `releases/<releaseId>.json` for each,
 * and `current`, a relative link to one tree. A tree appears complete or not at all, and so does a switch; after a
 * power cut `current` names the old release or the new one, whole.
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
      return basename(target)
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
    await makeFolder(join(this.#folder, 'releases'), folderMode)
    await makeFolder(this.incoming, 0o700)
    await removeEntries(this.incoming, () => true)
    for (const folder of [this.#folder, join(this.#folder, 'releases')]) await removeEntries(folder, isTemporary)
    await this.#setAsideNoLink()
  }

  /** The folder for files in the making; `prepare` empties it. */
  get incoming(): string {
    return join(this.#folder, 'incoming')
  }

  /**
   * Installs a release whose content the store holds, and makes it current. A tree that is there is used as it is.
   * Throws the signal's reason when it aborts before the tree is built; nothing is switched then.
   */
  async install(release: Release, store: ContentStore, signal: AbortSignal): Promise<ReleaseRecord> {
    const before = await this.currentId()
    if (!(await this.#isBuilt(release.releaseId))) await this.#build(release, store, signal)
    const record: ReleaseRecord = {
      version: 1,
      releaseId: release.releaseId,
      ...(before === undefined || before === release.releaseId ? {} : { previous: before }),
      installedAt: new Date(this.#now()).toISOString(),
      files: [...release.files],
    }
    await writeJsonState(this.#recordPath(release.releaseId), record)
    await this.#switchTo(release.releaseId)
    return record
  }

  /** Removes every release that is not in `keep`; never the one that `current` names. */
  async collect(keep: readonly (string | undefined)[]): Promise<void> {
    const kept = new Set([...keep, await this.currentId()])
    const folder = join(this.#folder, 'releases')
    for (const name of await readdir(folder)) {
      if (kept.has(basename(name, '.json'))) continue
      // a tree must not be taken for a whole one when its removal is cut short
      const doomed = join(this.incoming, randomUUID())
      await rename(join(folder, name), doomed)
      await syncFolder(folder)
      await rm(doomed, { recursive: true })
    }
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

  async #isBuilt(releaseId: string): Promise<boolean> {
    return (await readdir(join(this.#folder, 'releases'))).includes(releaseId)
  }

  async #build({ releaseId, files }: Release, store: ContentStore, signal: AbortSignal): Promise<void> {
    const root = join(this.incoming, randomUUID())
    await makeFolder(root, folderMode)
    const folders = new Set(files.flatMap(({ path }) => foldersOf(path)))
    for (const folder of folders) await makeFolder(join(root, folder), folderMode)
    for (const file of files) {
      signal.throwIfAborted()
      await store.link(file, join(root, file.path))
    }
    for (const folder of ['', ...folders]) await syncFolder(join(root, folder))
    await renameDurably(root, join(this.#folder, 'releases', releaseId))
  }

  async #switchTo(releaseId: string): Promise<void> {
    const link = join(this.incoming, randomUUID())
    await symlink(join('releases', releaseId), link)
    await renameDurably(link, join(this.#folder, 'current'))
  }

  #recordPath(releaseId: string): string {
    return join(this.#folder, 'releases', `${releaseId}.json`)
  }
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
