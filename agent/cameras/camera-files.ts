import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { syncFolder, writeFileAtomic } from '../lib/atomic-file.ts'
import { makeFolder } from '../lib/durable-files.ts'
import { parseCameraFile, parseFirstCameraFile, type CameraFile } from './camera-file.ts'

const suffix = '.json'

/** The folder of camera files: each is replaced as a whole, so a reader never finds one missing or half-written. */
export class CameraFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  /**
   * Makes the folder, and removes what could be taken for a camera's file and is none: of cameras that are not
   * configured any more, leftovers of a crash, and what is no plain file. What else is there stays.
   */
  async prepare(names: readonly string[]): Promise<void> {
    await mkdir(dirname(this.#folder), { recursive: true, mode: 0o755 })
    await makeFolder(this.#folder, 0o755)
    const expected = new Set(names.map((name) => `${name}${suffix}`))
    const ours = (await readdir(this.#folder, { withFileTypes: true })).filter(({ name }) => isOurs(name))
    const unexpected = ours.filter((entry) => !entry.isFile() || !expected.has(entry.name))
    for (const { name } of unexpected) await rm(join(this.#folder, name), { recursive: true, force: true })
    if (unexpected.length > 0) await syncFolder(this.#folder)
  }

  /** The file as it stands; undefined when there is none, or none that can be read as one of ours. */
  async read(name: string): Promise<CameraFile | undefined> {
    return (await this.#readAny(name))?.file
  }

  /**
   * Gives a file that the first version of the agent wrote what it has now, for the same readers. Nothing when it has,
   * or is not there.
   */
  async upgrade(name: string): Promise<void> {
    const found = await this.#readAny(name)
    if (found?.isFirst !== true) return
    const { mode, gid } = await stat(this.#path(name))
    await this.write(name, found.file, (mode & 0o040) === 0 ? undefined : gid)
  }

  /** Tells one state of a file from another, its readers included; `none` when it is not there. */
  async look(name: string): Promise<string> {
    const found = await stat(this.#path(name), { bigint: true }).catch(() => undefined)
    return found === undefined ? 'none' : `${found.ino} ${found.mtimeNs} ${found.mode} ${found.gid}`
  }

  /** Whether the file, if it is there, has just the readers that `write` would give it. */
  async hasReaders(name: string, gid: number | undefined): Promise<boolean> {
    const found = await stat(this.#path(name)).catch(() => undefined)
    if (found === undefined || (found.mode & 0o7777) !== modeFor(gid)) return false
    return gid === undefined || found.gid === gid
  }

  /** Replaces the file. Readable by the agent's user alone, and by a group if one is given. */
  async write(name: string, file: CameraFile, gid?: number): Promise<void> {
    const options = { mode: modeFor(gid), ...(gid === undefined ? {} : { gid }) }
    await writeFileAtomic(this.#path(name), `${JSON.stringify(file)}\n`, options)
  }

  async #readAny(name: string): Promise<{ file: CameraFile; isFirst: boolean } | undefined> {
    try {
      const json: unknown = JSON.parse(await readFile(this.#path(name), 'utf8'))
      if (hasDate(json)) return { file: parseCameraFile(json), isFirst: false }
      const { mtime } = await stat(this.#path(name))
      return { file: parseFirstCameraFile(json, mtime.toISOString()), isFirst: true }
    } catch {
      return undefined
    }
  }

  #path(name: string): string {
    return join(this.#folder, `${name}${suffix}`)
  }
}

function hasDate(json: unknown): boolean {
  return typeof json === 'object' && json !== null && 'changedAt' in json
}

function modeFor(gid: number | undefined): number {
  return gid === undefined ? 0o600 : 0o640
}

/** A camera's file, or one that lib/atomic-file has not finished. */
function isOurs(name: string): boolean {
  return name.endsWith(suffix) || /^\.[0-9a-f]{12}\.tmp$/.test(name)
}
