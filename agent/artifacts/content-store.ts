import { createHash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { chmod, copyFile, link, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { syncFolder } from '../lib/atomic-file.ts'
import { forEachConcurrent } from '../lib/for-each-concurrent.ts'
import { makeFolder, makeRealFolder } from '../lib/durable-files.ts'
import { AgentError, errorCode } from '../lib/errors.ts'
import { contentKey, modeOf, type Content, type ReleaseFile } from './artifact-plan.ts'

const folderMode = 0o755
const callsAtATime = 16
const folderName = /^[0-9a-f]{2}$/
const keyName = /^[0-9a-f]{64}-0(444|555)$/

/** A file whose bytes are all there, and what they are. */
export interface FinishedFile {
  readonly file: string
  readonly content: Content
}

/** A file system says so when it cannot make one more hard link to a file, or none from here to there. */
const linkRefusals: ReadonlySet<string | undefined> = new Set(['EMLINK', 'EXDEV', 'EPERM'])

/**
 * Files named by their content: `<folder>/sha256/<hh>/<content key>`, read-only, complete, never changed. Knows its
 * content from one look at the folders in `load`; nobody else writes there.
 */
export class ContentStore {
  readonly #root: string
  readonly #hardLink: (from: string, to: string) => Promise<void>
  readonly #folders = new Set<string>()
  #keys = new Set<string>()

  /** `hardLink` is how the file system makes links. */
  constructor(folder: string, hardLink: (from: string, to: string) => Promise<void> = link) {
    this.#root = join(folder, 'sha256')
    this.#hardLink = hardLink
  }

  /**
   * Makes the folders that are missing, removes what is no content, links to elsewhere included, and looks what is
   * there. To be called before everything else.
   */
  async load(): Promise<void> {
    await makeRealFolder(join(this.#root, '..'), folderMode)
    await makeRealFolder(this.#root, folderMode)
    this.#keys = new Set()
    this.#folders.clear()
    for (const folder of await readdir(this.#root, { withFileTypes: true })) {
      if (folder.isDirectory() && folderName.test(folder.name)) await this.#loadFolder(folder.name)
      else await rm(join(this.#root, folder.name), { recursive: true, force: true })
    }
  }

  async #loadFolder(name: string): Promise<void> {
    const folder = join(this.#root, name)
    for (const file of await readdir(folder, { withFileTypes: true })) {
      if (file.isFile() && keyName.test(file.name) && file.name.startsWith(name)) this.#keys.add(file.name)
      else await rm(join(folder, file.name), { recursive: true, force: true })
    }
  }

  has(content: Content): boolean {
    return this.#keys.has(contentKey(content))
  }

  /**
   * Moves finished files into the store, durably. They are on the same file system, fsynced, and have their contents'
   * modes already. Content that is there is replaced by the same bytes.
   */
  async add(files: readonly FinishedFile[]): Promise<void> {
    const folders = new Set(files.map(({ content }) => this.#folderOf(contentKey(content))))
    for (const folder of folders) {
      if (!this.#folders.has(folder)) await makeFolder(folder, folderMode)
      this.#folders.add(folder)
    }
    await forEachConcurrent(files, callsAtATime, ({ file, content }) => rename(file, this.#pathOf(contentKey(content))))
    await forEachConcurrent([...folders], callsAtATime, syncFolder)
    for (const { content } of files) this.#keys.add(contentKey(content))
  }

  /**
   * Makes `target` a hard link to the content, or a copy of it where the file system refuses one. The caller fsyncs
   * the folder. Content that is damaged is dropped and a retryable AgentError thrown, so that it is fetched again.
   */
  async link(file: ReleaseFile, target: string): Promise<void> {
    const path = this.#pathOf(contentKey(file))
    await this.#checkSize(file, path)
    try {
      await this.#hardLink(path, target)
    } catch (error) {
      if (!linkRefusals.has(errorCode(error))) throw error
      await copyDurably(path, target, modeOf(file))
    }
  }

  /** Where the content is that `isWanted` does not want. */
  unwanted(isWanted: (key: string) => boolean): readonly string[] {
    return [...this.#keys].filter((key) => !isWanted(key)).map((key) => this.#pathOf(key))
  }

  /**
   * Removes the content that `isWanted` does not want, but for the newest of it up to `maxKeptBytes`, and answers how many
   * files that were.
   */
  async collect(isWanted: (key: string) => boolean, maxKeptBytes = 0): Promise<number> {
    const unwanted = await this.#surplus(
      [...this.#keys].filter((key) => !isWanted(key)),
      maxKeptBytes,
    )
    for (const key of unwanted) await this.#drop(key)
    for (const folder of new Set(unwanted.map((key) => this.#folderOf(key)))) await syncFolder(folder)
    return unwanted.length
  }

  /** What has to go of these, so that the newest up to so many bytes stay. */
  async #surplus(keys: readonly string[], maxKeptBytes: number): Promise<readonly string[]> {
    if (maxKeptBytes === 0 || keys.length === 0) return keys
    const files = await Promise.all(
      keys.map(async (key) => {
        const { size, mtimeMs } = await stat(this.#pathOf(key))
        return { key, size, mtimeMs }
      }),
    )
    let keptBytes = 0
    return files
      .sort((left, right) => right.mtimeMs - left.mtimeMs)
      .filter(({ size }) => (keptBytes += size) > maxKeptBytes)
      .map(({ key }) => key)
  }

  async #checkSize(file: ReleaseFile, path: string): Promise<void> {
    const sizeBytes = await stat(path).then(
      ({ size }) => size,
      () => undefined,
    )
    if (sizeBytes === file.sizeBytes) return
    if (sizeBytes !== undefined && (await sha256Of(path)) === file.sha256) throw wrongSize(file, sizeBytes)
    await this.#drop(contentKey(file))
    const found = sizeBytes === undefined ? 'is gone' : `has ${sizeBytes} bytes instead of ${file.sizeBytes}`
    throw new AgentError(`stored content for ${JSON.stringify(file.path)} ${found}`, { retryable: true })
  }

  async #drop(key: string): Promise<void> {
    this.#keys.delete(key)
    await rm(this.#pathOf(key), { force: true, recursive: true })
  }

  #folderOf(key: string): string {
    return `${this.#root}/${key.slice(0, 2)}`
  }

  #pathOf(key: string): string {
    return `${this.#folderOf(key)}/${key}`
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash)
  return hash.digest('hex')
}

/** The content is what it should be, so that fetching it again could not help. */
function wrongSize({ path, sizeBytes }: ReleaseFile, realBytes: number): AgentError {
  return new AgentError(
    `${JSON.stringify(path)} has ${sizeBytes} bytes in the source, but what has its sha256 has ${realBytes}`,
    { hint: 'publish it again: the object is damaged, or its size in the manifest is wrong' },
  )
}

async function copyDurably(from: string, to: string, mode: number): Promise<void> {
  const temporary = `${to}.copy`
  await copyFile(from, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
  await chmod(temporary, mode)
  await using file = await open(temporary, 'r')
  await file.sync()
  await rename(temporary, to)
}
